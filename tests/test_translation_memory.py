"""The translation memory: what is added comes back, the exchange format is exact, and damage is named."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.augment.memory import COLUMNS, MEMORY, TranslationMemory
from pipeline.errors import InputError

HEADER = "\t".join(COLUMNS)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\t\n\r\\tnr\0\x85\u2028 "), min_size=1)
ROWS = st.dictionaries(st.tuples(*[TEXTS] * 5), TEXTS, max_size=8)


@pytest.fixture
def memory(tmp_path: Path) -> TranslationMemory:
    return TranslationMemory(tmp_path / "deep/folder/memory.sqlite")


def test_what_was_added_comes_back(memory: TranslationMemory) -> None:
    memory.add("marian", "1", "en", "es", {"one": "uno", "two": "dos"})
    memory.add("marian", "1", "es", "en", {"one": "other direction"})
    memory.add("marian", "2", "en", "es", {"one": "of another revision"})
    memory.add("google", "1", "en", "es", {"one": "of another backend"})
    assert memory.get("en", "es", ["two", "one", "three", "one"], "marian", "1") == {"two": "dos", "one": "uno"}
    with TranslationMemory(memory.path) as again:
        assert again.get("en", "es", ["two"], "marian", "1") == {"two": "dos"}


def test_the_first_translation_stays(memory: TranslationMemory) -> None:
    memory.add("google", "1", "en", "es", {"one": "uno"})
    memory.add("google", "1", "en", "es", {"one": "un", "two": "dos"})
    assert memory.get("en", "es", ["one", "two"], "google", "1") == {"one": "uno", "two": "dos"}


def test_any_backend_will_do_and_always_the_same(tmp_path: Path) -> None:
    additions = [("marian", "1", "c"), ("google", "2", "b"), ("google", "1", "a")]
    for number, order in enumerate((additions, additions[::-1])):
        with TranslationMemory(tmp_path / f"{number}.sqlite") as memory:
            for backend, revision, translation in order:
                memory.add(backend, revision, "en", "es", {"one": translation})
            assert memory.get("en", "es", ["one", "two"]) == {"one": "a"}
            assert memory.get("es", "en", ["one"]) == {}


@settings(max_examples=20, deadline=None)
@given(rows=ROWS)
def test_export_and_import_are_exact(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[tuple[str, ...], str]
) -> None:
    folder = tmp_path_factory.mktemp("memory")
    with TranslationMemory(folder / "a.sqlite") as first, TranslationMemory(folder / "b.sqlite") as second:
        for (source, target, text, backend, revision), translation in rows.items():
            first.add(backend, revision, source, target, {text: translation})
        assert first.export_tsv(folder / "a.tsv") == len(rows)
        assert second.import_tsv(folder / "a.tsv") == len(rows)
        assert second.import_tsv(folder / "a.tsv") == 0
        second.export_tsv(folder / "b.tsv")
        for (source, target, text, backend, revision), translation in rows.items():
            assert second.get(source, target, [text], backend, revision) == {text: translation}
    content = (folder / "a.tsv").read_bytes()
    assert content == (folder / "b.tsv").read_bytes()
    assert content.count(b"\n") == len(rows) + 1


def test_the_exchange_format_is_what_it_says(memory: TranslationMemory, tmp_path: Path) -> None:
    memory.add("libre", "r", "en", "es", {"z": "ä", "a\tb\n": "c\\d\r"})
    memory.add("apertium", "r", "en", "es", {"z": "y"})
    memory.export_tsv(tmp_path / "out.tsv")
    expected = [
        HEADER,
        "en\tes\ta\\tb\\n\tlibre\tr\tc\\\\d\\r",
        "en\tes\tz\tapertium\tr\ty",
        "en\tes\tz\tlibre\tr\tä",
        "",
    ]
    assert (tmp_path / "out.tsv").read_bytes() == "\n".join(expected).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ":1: expected the header source target"),
        ("en\tes\ta\tb\tc\td\n", ":1: expected the header"),
        (f"{HEADER}\nen\tes\ta\tb\tc\td\nen\tes\ta\n", ":3: expected 6 fields separated by tabs, got 3"),
        (f"{HEADER}\nen\tes\ta\tb\tc\td\n\n", ":3: expected 6 fields separated by tabs, got 1"),
        (f"{HEADER}\nen\tes\ta\tb\tc\t\n", ":2: translation is empty"),
        (f"{HEADER}\nen\tes\ta\\x\tb\tc\td\n", r":2: text .* a backslash that is not one of"),
        (f"{HEADER}\nen\tes\ta\tb\tc\td\\\n", r":2: translation .* a backslash"),
    ],
)
def test_a_broken_file_adds_nothing(memory: TranslationMemory, tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "broken.tsv"
    file.write_text(content)
    with pytest.raises(InputError, match=f"broken.tsv{problem}"):
        memory.import_tsv(file)
    assert memory.get("en", "es", ["a"]) == {}


def test_a_file_from_another_editor(memory: TranslationMemory, tmp_path: Path) -> None:
    (tmp_path / "windows.tsv").write_bytes(f"{HEADER}\r\nen\tes\ta\tb\tc\td\r\n".encode("utf-8-sig"))
    assert memory.import_tsv(tmp_path / "windows.tsv") == 1
    assert memory.get("en", "es", ["a"]) == {"a": "d"}
    (tmp_path / "latin.tsv").write_bytes(f"{HEADER}\nen\tes\té\tb\tc\td\n".encode("latin-1"))
    with pytest.raises(InputError, match="latin.tsv: not UTF-8 text"):
        memory.import_tsv(tmp_path / "latin.tsv")


def run(*words: str) -> None:
    main(["memory", *words])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="data/memory/translations.sqlite: no such file: nothing was translated yet"):
        run("export", "out.tsv")
    Path("in.tsv").write_text(f"{HEADER}\nen\tes\ta\tb\tc\td\n")
    run("import", "in.tsv")
    run("export", "out.tsv")
    assert Path("out.tsv").read_bytes() == Path("in.tsv").read_bytes()
    assert "in.tsv: 1 translations added to data/memory/translations.sqlite" in capsys.readouterr().out
    assert MEMORY.exists()


def test_looking_up_loads_no_model_library() -> None:
    code = """
import sys
import pipeline.augment.translate
heavy = {"torch", "transformers", "deep_translator", "sacrebleu", "numpy", "requests", "tenacity"} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
