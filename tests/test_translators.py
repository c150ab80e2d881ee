"""Translating through the memory, replays, and MarianMT on a tiny random model against one sentence at a time."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from transformers.models.marian.configuration_marian import MarianConfig
from transformers.models.marian.modeling_marian import MarianMTModel
from transformers.models.marian.tokenization_marian import MarianTokenizer

from pipeline.augment.memory import TranslationMemory
from pipeline.augment.translate import back_translate, open_translator, translate_all
from pipeline.augment.translators.marian import Marian
from pipeline.augment.translators.replay import Replay
from pipeline.augment.translators.stopped import Stopped
from pipeline.config import back_translation as config
from pipeline.errors import InputError

REPOSITORY = Path(__file__).parents[1]


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
    assert memory.get_any("en", "es", ["x"]) == ({"x": kept} if kept else {})


def test_back_translation_goes_there_and_back(memory: TranslationMemory) -> None:
    back = back_translate(["one", "two?", "one"], "es", Upper(), memory)
    assert back == {"one": "en ES ONE", "two?": None}
    assert memory.get_any("es", "en", ["es ONE"]) == {"es ONE": "en ES ONE"}


def test_a_translator_that_stops_keeps_what_it_did(memory: TranslationMemory) -> None:
    upper = Upper()
    honest = upper.translate

    def stop(texts: Sequence[str], source: str, target: str) -> list[str | None]:
        if len(upper.batches) == 1:
            raise Stopped("the line is dead", honest(texts[:1], source, target))
        return honest(texts, source, target)

    upper.translate = stop  # type: ignore[method-assign]
    memory.add("upper", "enes1", "en", "es", {"z": "known"})
    with pytest.raises(
        InputError, match="^the line is dead; 5 of 9 sentences .*are done and kept: run again to go on$"
    ):
        translate_all(["z", *"abcdefgh"], "en", "es", upper, memory)
    assert set(memory.get_any("en", "es", list("zabcdefgh"))) == set("zabcd")


def test_a_replay_takes_any_backend_and_translates_nothing(memory: TranslationMemory) -> None:
    back = back_translate(["one", "two"], "es", Upper(), memory)
    assert back_translate(["two", "one"], "es", Replay(), memory) == back
    with pytest.raises(InputError, match="3 translations from en to es are missing, the first of 'a': .*`dvc repro`.*"):
        back_translate(["one", "ccc", "bb", "a"], "es", Replay(), memory)


# Parameters


def params(backend: str, model: str = "folder/{source}-{target}", **changes: object) -> config.Translator:
    marian = {"model": model, "revision": "main", "beams": 1, "max_length": 24, "tokens_per_batch": 60, **changes}
    network = {"url": "http://127.0.0.1:1", "batch_size": 4, "requests_per_second": 100.0}
    network |= {"retries": 1, "backoff": 0.0, "give_up_after": 2}
    return config.Translator.model_validate({"backend": backend, "marian": marian, "network": network})


@pytest.mark.parametrize("backend", ["memory", "apertium", "marian", "google", "libre", "mymemory"])
def test_every_backend_opens_under_its_name(backend: str) -> None:
    assert open_translator(params(backend)).name == backend


@pytest.mark.parametrize(
    "model", ["no-placeholders", "{source}", "{source}-{target}-{other}", "{source.x}-{target}", "{}"]
)
def test_a_model_name_needs_both_languages(model: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        params("marian", model)


@pytest.mark.parametrize(
    ("languages", "problem"),
    [
        (["es", "gl", "es"], "es is named more than once"),
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


# MarianMT


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random models en-es and es-en, with a tokenizer trained on the sample's questions."""
    folder = tmp_path_factory.mktemp("marian")
    lines = (REPOSITORY / "data/sample/quora-train.csv").read_text().splitlines()[1:400]
    for pair, seed in (("en-es", 1), ("es-en", 2)):
        write_model(folder / pair, [line.split("\t")[2] for line in lines], seed)
    return folder


def write_model(folder: Path, sentences: list[str], seed: int) -> None:
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / "source"), vocab_size=200, minloglevel=2
    )
    (folder / "source.model").rename(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    pieces = [line.split("\t")[0] for line in (folder / "source.vocab").read_text().splitlines()[3:]]
    vocabulary = ["</s>", "<unk>", *pieces, "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(vocabulary)}))
    tokenizer = MarianTokenizer(str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"))
    tokenizer.save_pretrained(folder)
    sizes = {"d_model": 32, "max_position_embeddings": 40, "init_std": 0.2}
    sizes |= {f"{side}_{part}": 2 for side in ("encoder", "decoder") for part in ("layers", "attention_heads")}
    sizes |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": len(vocabulary)}
    ends = {"pad_token_id": len(vocabulary) - 1, "eos_token_id": 0, "decoder_start_token_id": len(vocabulary) - 1}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        MarianMTModel(MarianConfig(**sizes, **ends, forced_eos_token_id=0)).save_pretrained(folder)


def one_by_one(folder: Path, texts: Sequence[str], beams: int) -> list[str]:
    """Plain generation without padding."""
    tokenizer, model = MarianTokenizer.from_pretrained(folder), MarianMTModel.from_pretrained(folder).eval()
    translations = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt")
        output = model.generate(**inputs, num_beams=beams, do_sample=False, max_new_tokens=24)
        translations.append(tokenizer.decode(output[0], skip_special_tokens=True))
    return translations


QUESTIONS = [
    "Why should I eat cheese every day?",
    "What?",
    "What's the best part of working as a teacher?",
    "How do I learn French quickly?",
    "Where can I buy a cheap monitor?",
    "Is tea good for you?",
]


@pytest.mark.parametrize("beams", [1, 3])
def test_batches_give_what_single_sentences_give(models: Path, beams: int) -> None:
    translator = Marian(params("marian", f"{models}/{{source}}-{{target}}", beams=beams).marian)
    expected = one_by_one(models / "en-es", QUESTIONS, beams)
    assert len(set(expected)) > 3  # the random model does not always say the same
    assert translator.translate(QUESTIONS, "en", "es") == expected
    assert translator.translate(QUESTIONS[::-1], "en", "es") == expected[::-1]
    assert translator.translate(QUESTIONS[:1], "es", "en") == one_by_one(models / "es-en", QUESTIONS[:1], beams)


def test_batches_stay_within_their_tokens(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    generate = MarianMTModel.generate

    def record(self: MarianMTModel, input_ids: torch.Tensor, **options: object) -> torch.Tensor:
        sizes.append(input_ids.numel())
        return generate(self, input_ids=input_ids, **options)

    monkeypatch.setattr(MarianMTModel, "generate", record)
    Marian(params("marian", f"{models}/{{source}}-{{target}}").marian).translate(QUESTIONS, "en", "es")
    assert 1 < len(sizes) < len(QUESTIONS) and max(sizes) <= 60


@pytest.mark.parametrize("max_length", [24, 1000])
def test_too_long_a_text_is_not_translated(models: Path, max_length: int) -> None:
    translator = Marian(params("marian", f"{models}/{{source}}-{{target}}", max_length=max_length).marian)
    texts = ["How do I learn French? " * 9, "What?"]
    long, short = translator.translate(texts, "en", "es")
    assert long is None and short


def test_the_revision_is_the_content_and_the_beams(models: Path, tmp_path: Path) -> None:
    translator = Marian(params("marian", f"{models}/{{source}}-{{target}}").marian)
    real = translator.revision("en", "es")
    assert real.startswith("sha256:") and real.endswith(" beams=1")
    assert real != translator.revision("es", "en")
    moved = tmp_path / "elsewhere-en-es"
    moved.mkdir()
    for file in (models / "en-es").iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    elsewhere = Marian(params("marian", f"{tmp_path}/elsewhere-{{source}}-{{target}}").marian)
    assert elsewhere.revision("en", "es") == real
    with open(moved / "target.spm", "ab") as file:
        file.write(b"!")
    assert elsewhere.revision("en", "es") != real
    commit = "0123456789abcdef0123456789abcdef01234567"
    pinned = Marian(params("marian", "Org/{source}-{target}", revision=commit, beams=4).marian)
    assert pinned.revision("en", "es") == f"Org/en-es@{commit} beams=4"


def test_the_hub_s_commit_is_the_revision(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub download as it lies in the cache: refs/main names the commit of the snapshot."""
    commit = "f" * 40
    cache = models.parent / "hub"
    snapshot = cache / "models--Org--opus-en-es/snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in (models / "en-es").iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    (cache / "models--Org--opus-en-es/refs").mkdir()
    (cache / "models--Org--opus-en-es/refs/main").write_text(commit)
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(cache))
    translator = Marian(params("marian", "Org/opus-{source}-{target}").marian)
    assert translator.revision("en", "es") == f"Org/opus-en-es@{commit} beams=1"
    assert translator.translate(QUESTIONS[:1], "en", "es") == one_by_one(models / "en-es", QUESTIONS[:1], 1)


@pytest.mark.parametrize("missing", ["model.safetensors", "vocab.json", "source.spm"])
def test_an_incomplete_model_is_named(models: Path, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "en-es"
    folder.mkdir()
    for file in (models / "en-es").iterdir():
        if file.name != missing:
            (folder / file.name).write_bytes(file.read_bytes())
    if missing == "model.safetensors":
        (folder / "pytorch_model.bin").write_bytes(b"a pickle, which is never loaded")
    translator = Marian(params("marian", f"{tmp_path}/{{source}}-{{target}}").marian)
    with pytest.raises(InputError, match=r"en-es cannot be loaded \(.+\): expected a MarianMT model with safetensors"):
        translator.translate(["What?"], "en", "es")


def test_random_weights_never_pass_for_a_model(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "en-es"
    folder.mkdir()
    for file in (models / "en-es").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    del weights["model.encoder.layers.1.fc1.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"en-es: the weights lack model.encoder.layers.1.fc1.weight: get it again"):
        Marian(params("marian", f"{tmp_path}/{{source}}-{{target}}").marian).translate(["What?"], "en", "es")
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"en-es: config.json is missing or not that of a MarianMT model"):
        Marian(params("marian", f"{tmp_path}/{{source}}-{{target}}").marian).translate(["What?"], "en", "es")


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(InputError, match=r"Org/none-en-xx at main: is neither a folder nor a model the hub gives out"):
        Marian(params("marian", "Org/none-{source}-{target}").marian).revision("en", "xx")
    commit = "0123456789abcdef0123456789abcdef01234567"
    pinned = Marian(params("marian", "Org/none-{source}-{target}", revision=commit).marian)
    with pytest.raises(
        InputError, match=r"Org/none-en-xx cannot be loaded \(.+of the hub \(online, or downloaded before"
    ):
        pinned.translate(["What?"], "en", "xx")
