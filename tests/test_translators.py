"""Translating through the memory, replays, and the parameters of translators."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pipeline.augment.memory import TranslationMemory
from pipeline.augment.translate import back_translate, open_backend, translate_all
from pipeline.config import augmentation as config
from pipeline.errors import InputError


class Upper:
    """Translates into upper case; records its batches; cannot translate what has a question mark."""

    name, batch_size = "upper", 3

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def revision(self, source: str, target: str) -> str:
        return f"{source}{target}1"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.batches.append(list(texts))
        return [None if "?" in text else f"{target} {text.upper()}" for text in texts]


@pytest.fixture
def memory(tmp_path: Path) -> TranslationMemory:
    return TranslationMemory(tmp_path / "memory.sqlite")


def test_only_what_is_missing_is_translated(memory: TranslationMemory, capsys: pytest.CaptureFixture[str]) -> None:
    upper = Upper()
    memory.add("upper", "enes1", "en", "es", {"known": "from the memory"})
    texts = ["longest of all", "known", "b", "a", "b", "", "mid", "long one", " \n"]
    translations = translate_all(texts, "en", "es", upper, memory)
    assert list(translations) == list(dict.fromkeys(texts))
    assert translations["known"] == "from the memory"
    assert translations["mid"] == "es MID" and translations[""] is None and translations[" \n"] is None
    assert upper.batches == [["a", "b", "mid"], ["long one", "longest of all"]]
    assert "en-es: 1 of 8 sentences from memory, 5 to translate" in capsys.readouterr().out
    assert translate_all(texts, "en", "es", upper, memory) == translations
    assert len(upper.batches) == 2


def test_failures_are_not_kept(memory: TranslationMemory) -> None:
    upper = Upper()
    assert translate_all(["what?", "so"], "en", "es", upper, memory) == {"what?": None, "so": "es SO"}
    translate_all(["what?", "so"], "en", "es", upper, memory)
    assert upper.batches == [["so", "what?"], ["what?"]]


@pytest.mark.parametrize(
    ("answer", "kept"), [(" a \n b\0c ", "a b c"), ("", None), (" \t", None), ("half \ud83d of a pair", None)]
)
def test_a_translation_is_text_on_one_line(memory: TranslationMemory, answer: str, kept: str | None) -> None:
    upper = Upper()
    upper.translate = lambda texts, source, target: [answer]  # type: ignore[method-assign]
    assert translate_all(["x"], "en", "es", upper, memory) == {"x": kept}
    assert memory.get("en", "es", ["x"]) == ({"x": kept} if kept else {})


def test_back_translation_goes_there_and_back(memory: TranslationMemory) -> None:
    back = back_translate(["one", "two?", "one"], "es", Upper(), memory)
    assert back == {"one": "en ES ONE", "two?": None}
    assert memory.get("es", "en", ["es ONE"]) == {"es ONE": "en ES ONE"}


def test_a_translator_that_stops_keeps_what_it_did(memory: TranslationMemory) -> None:
    upper = Upper()
    honest = upper.translate

    def stop(texts: Sequence[str], source: str, target: str) -> Iterator[str | None]:
        yield from honest(texts[:1] if upper.batches else texts, source, target)
        if len(texts) > 1 and len(upper.batches) > 1:
            raise InputError("the line is dead")

    upper.translate = stop  # type: ignore[method-assign]
    memory.add("upper", "enes1", "en", "es", {"z": "known"})
    with pytest.raises(
        InputError, match="^the line is dead; 5 of 9 sentences .*are done and kept: run again to go on$"
    ):
        translate_all(["z", *"abcdefgh"], "en", "es", upper, memory)
    assert set(memory.get("en", "es", list("zabcdefgh"))) == set("zabcd")


def test_a_replay_takes_any_backend_and_translates_nothing(memory: TranslationMemory) -> None:
    back = back_translate(["one", "two"], "es", Upper(), memory)
    assert back_translate(["two", "one"], "es", None, memory) == back
    with pytest.raises(InputError, match="3 translations from en to es are missing, the first of 'a': .*`dvc repro`.*"):
        back_translate(["one", "ccc", "bb", "a"], "es", None, memory)


# Parameters


def params(backend: str, model: str = "folder/{source}-{target}", **changes: object) -> config.Translator:
    marian = {
        "model": model,
        "revision": "main",
        "beams": 1,
        "max_length": 24,
        "tokens_per_batch": 60,
        "codes": {},
        **changes,
    }
    network = {"url": "http://127.0.0.1:1", "batch_size": 4, "requests_per_second": 100.0}
    network |= {"retries": 1, "backoff": 0.0, "give_up_after": 2}
    return config.Translator.model_validate({"backend": backend, "marian": marian, "network": network})


@pytest.mark.parametrize("backend", ["memory", "apertium", "marian", "google", "libre", "mymemory"])
def test_every_backend_opens_under_its_name(backend: str) -> None:
    assert getattr(open_backend(params(backend)), "name", "memory") == backend


@pytest.mark.parametrize(
    "model", ["no-placeholders", "{source}", "{source}-{target}-{other}", "{source.x}-{target}", "{}"]
)
def test_a_model_name_needs_both_languages(model: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        params("marian", model)


@pytest.mark.parametrize(
    ("languages", "problem"),
    [
        (["es", "gl", "es"], "'es' is named more than once"),
        (["en"], "'en' is the language of the sentences"),
        (["ES"], "should match pattern"),
        (["../x"], "should match pattern"),
        (["x"], "at least 2 characters"),
        ([], "at least 1 item"),
    ],
)
def test_languages_are_checked(languages: list[str], problem: str) -> None:
    block = {
        "languages": languages,
        "shards": [0],
        "translator": params("memory").model_dump(),
        "selection": {"pairs": None, "sentences": ["sentence2"], "labels": [0, 1]},
        "checks": {"near_copy": 0.9, "length_ratio": 2.0, "similarity": None},
    }
    assert config.BackTranslation.model_validate(block | {"languages": ["zh-tw", "de"]}).languages == ["zh-tw", "de"]
    with pytest.raises(ValueError, match=problem):
        config.BackTranslation.model_validate(block)
