"""Apertium kept running against the plain `apertium` command, sentence by sentence; and what can go wrong with it."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.augment import apertium
from pipeline.augment.apertium import ApertiumTranslator, deformat, find_mode, reformat
from pipeline.augment.memory import TranslationMemory
from pipeline.augment.translate import back_translate, translate_all
from pipeline.errors import InputError

SAMPLE = Path(__file__).parents[1] / "data/sample/quora-train.csv"
MODES = ("eng-spa", "spa-eng", "en-gl", "gl-en", "en-eo", "eo-en")
pytestmark = pytest.mark.skipif(
    not shutil.which("apertium") or any(not (apertium.MODES / f"{mode}.mode").exists() for mode in MODES),
    reason="needs apt-get install apertium-eng-spa apertium-en-gl apertium-eo-en",
)
AWKWARD = [
    "What is [x] in {y}^2 $5 a/b c\\d @me <b>bold</b> <script>?",
    "Unknown: xyzzyq, Brangelina & *stars* # of @ 3.5% growth",
    "He said \"don't\" -- it's 'fine'... isn't it?!",
    "How do I learn C++ and C# at 10:30 p.m.?",
    "~ tilde ~5 and a~b ~ at the end ~~",
    ".",
    "?",
    "a",
    "[]",
    ".[]",
    "^how<adv>$",
    "\\",
    "Café naïve – “quotes” … €5 日本語 😀",
    "HOW DO I LEARN FRENCH",
    "first. Second sentence. Third one",
    "what is the best way to learn , and why ?",
    "a.[] b [ c ] d",
    "x" * 300,
]


@pytest.fixture
def translator() -> ApertiumTranslator:
    return ApertiumTranslator()


def plain(text: str, mode: str) -> str:
    """The answer of the command, with white space collapsed."""
    command = ["apertium", "-u", mode]
    return " ".join(subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.split())


def questions(count: int) -> list[str]:
    """Some cased, some lower-cased."""
    rows = [line.split("\t") for line in SAMPLE.read_text().splitlines()[1:]]
    return random.Random(1).sample(sorted({row[2] for row in rows} | {row[3].lower() for row in rows}), count)


@pytest.mark.parametrize(("source", "target"), [("en", "es"), ("es", "en"), ("en", "gl")])
def test_many_answers_are_those_of_the_command(translator: ApertiumTranslator, source: str, target: str) -> None:
    texts = [*AWKWARD, *questions(200)]
    mode = find_mode(source, target).stem
    # An empty line ends a sentence like the end of the text does: one run of the command for all.
    command = ["apertium", "-u", mode]
    output = subprocess.run(command, input="\n\n".join(texts), capture_output=True, text=True, check=True).stdout
    expected = [" ".join(paragraph.split()) for paragraph in output.split("\n\n")]
    assert len(expected) == len(texts)
    assert list(translator.translate(texts, source, target)) == expected


@pytest.mark.parametrize(("source", "target"), [("en", "eo"), ("eo", "en")])
def test_answers_are_those_of_the_command(translator: ApertiumTranslator, source: str, target: str) -> None:
    texts = [*AWKWARD[:2], *questions(2)]
    mode = find_mode(source, target).stem
    assert list(translator.translate(texts, source, target)) == [plain(text, mode) for text in texts]


def test_company_and_order_do_not_matter(translator: ApertiumTranslator) -> None:
    texts = [*AWKWARD, *questions(60)]
    for language in ("es", "gl", "eo"):
        expected = dict(zip(texts, translator.translate(texts, "en", language), strict=True))
        shuffled = random.Random(2).sample(texts, len(texts))
        assert list(translator.translate(shuffled, "en", language)) == [expected[text] for text in shuffled]


def test_white_space_and_nul_bytes_are_spaces(translator: ApertiumTranslator) -> None:
    messy = ["How do\n I\t learn\r\nFrench? ", "How\0do I learn French?", "How do I learn\u00a0French?", " \0 "]
    answers = list(translator.translate(messy, "en", "es"))
    assert answers == [*[plain("How do I learn French?", "eng-spa")] * 3, None]


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("a.b ?~[]{}^$/\\@<>*#é日"), max_size=12))
@example(text="~")
@example(text="a~ ~")
def test_formats_are_those_of_the_programs(text: str) -> None:
    text = " ".join(text.split())
    formatted = subprocess.run(["apertium-destxt"], input=text, capture_output=True, text=True).stdout
    assert deformat(text) == formatted
    restored = subprocess.run(["apertium-retxt"], input=formatted, capture_output=True, text=True).stdout
    assert reformat(formatted) == " ".join(restored.split()) == text


TEXTS = [f"How do I learn {number} languages?" for number in range(700)]


@pytest.fixture
def middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell script that runs in the middle of the programs; it only passes on what it reads."""
    programs = find_mode("en", "es").read_text().rstrip().split("|")
    (tmp_path / "eng-spa.mode").write_text("|".join([*programs[:5], " ./middle.sh ", *programs[5:]]))
    monkeypatch.setattr(apertium, "MODES", tmp_path)
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "middle.sh"
    script.touch(0o755)
    script.write_text("#!/bin/sh\nexec cat")
    return script


def test_a_killed_program_loses_nothing(translator: ApertiumTranslator, middle: Path) -> None:
    with TranslationMemory(middle.parent / "memory.sqlite") as memory:
        first = translate_all(TEXTS[:9], "en", "es", translator, memory)
        middle.write_text("#!/bin/sh\nhead -c 54321; kill -KILL $$")
        with pytest.raises(InputError, match=r"apertium eng-spa: a program ended .* kept: run again to go on") as error:
            translate_all(TEXTS, "en", "es", translator, memory)
        kept = memory.get("en", "es", TEXTS)
        assert 9 < len(kept) < 700 and f"{len(kept)} of 700" in str(error.value)
        middle.write_text("#!/bin/sh\nexec cat")
        again = translate_all(TEXTS, "en", "es", translator, memory)
    assert first.items() <= kept.items() <= again.items()
    assert list(again.values()) == list(translator.translate(TEXTS, "en", "es"))  # none of them cut off


def test_programs_that_hang_are_ended(
    translator: ApertiumTranslator, middle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle.write_text("#!/bin/sh\necho $$ > pid; head -c 999; kill -STOP $$")
    monkeypatch.setattr(apertium, "PATIENCE", 2.0)
    with pytest.raises(InputError, match="apertium eng-spa: no answer for 2 s, at 'How do I learn "):
        list(translator.translate(TEXTS, "en", "es"))
    state = ["ps", "-o", "stat=", "-p", (middle.parent / "pid").read_text().strip()]
    assert subprocess.run(state, capture_output=True, text=True).stdout[:1] in ("", "Z")  # Z: nobody has asked for it


def test_a_batch_larger_than_the_pipes(translator: ApertiumTranslator) -> None:
    texts = [f"{number} " + "~" * 8000 for number in range(256)]  # 2 MB; a pipe holds 64 kB, and there are ten
    assert list(translator.translate(texts, "en", "gl")) == texts


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="apertium has no pair of en and 'de'; it has es, gl, eo"):
        ApertiumTranslator().revision("en", "de")
    mode = tmp_path / "eng-spa.mode"
    mode.write_text("lt-proc '/nowhere/eng-spa.automorf.bin'")
    monkeypatch.setattr(apertium, "MODES", tmp_path)
    with pytest.raises(InputError, match="/nowhere/eng-spa.automorf.bin: .*--reinstall apertium-eng-spa"):
        ApertiumTranslator().revision("en", "es")
    with pytest.raises(InputError, match=r"en-gl.mode: no such file; run `apt-get install apertium-en-gl`"):
        ApertiumTranslator().revision("en", "gl")
    broken = ApertiumTranslator()
    with pytest.raises(InputError, match=r"a program ended \(.*automorf.bin.*at 'How are you"):
        list(broken.translate(["How are you?"], "en", "es"))


def test_the_revision_names_programs_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ApertiumTranslator().revision("en", "es")
    version = subprocess.run(["apertium", "-V"], capture_output=True, text=True).stdout.split()[-1]
    assert real.startswith(f"{version} sha256:") and real != ApertiumTranslator().revision("es", "en")
    data = tmp_path / "data.bin"
    (tmp_path / "eng-spa.mode").write_text(f"lt-proc '{data}'")
    monkeypatch.setattr(apertium, "MODES", tmp_path)
    revisions = set()
    for content in (b"1", b"2", b"1"):
        data.write_bytes(content)
        revisions.add(ApertiumTranslator().revision("en", "es"))
    assert len(revisions) == 2


def test_back_translation(translator: ApertiumTranslator, tmp_path: Path) -> None:
    text = "Where can I buy a cheap monitor?"
    with TranslationMemory(tmp_path / "memory.sqlite") as memory:
        back = back_translate([text, text, ""], "es", translator, memory)
        pivot = plain(text, "eng-spa")
        assert back == {text: plain(pivot, "spa-eng"), "": None}
        assert memory.get("es", "en", [pivot]) == {pivot: back[text]}
