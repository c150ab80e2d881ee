"""Broken files and settings by the thousand: each is used, or refused in one line; at once, and nothing half-written.

    make fuzz N=10000

is split among the tests here. pytest finds them only by the name of this file, so the suite does not wait for them.
"""

import json
import os
import re
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from broken_files import ODD_VALUES, ODD_YAML, Seeded, broken
from course_files import write_course_folder
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from small_project import REPOSITORY, contents, small_params
from tiny import write_backbone, write_prepared

from pipeline.__main__ import main
from pipeline.augment.memory import TranslationMemory
from pipeline.commands.predict import read_records
from pipeline.config.params import Params, check_methods, load_params
from pipeline.errors import InputError, one_line
from pipeline.models.classifier import build_classifier
from pipeline.stages import prepare
from pipeline.text.normalise import clean
from pipeline.text.prepared import PREPARED, read_pairs, read_poems, read_sentences
from pipeline.text.prompts import copy_tokenizer

INPUTS = int(os.environ.get("FUZZ", "500"))
SECONDS, KIBIBYTES, CHARACTERS = 10, 1024**2, 300  # at most, of one input, of the process and of an error
RAW, MODELS = Path("data/raw"), Path("models")
CORPORA = {"sst": read_sentences, "cfimdb": read_sentences, "paraphrase": read_pairs, "etpc": read_pairs}


def example(share: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a test: it gets this share of all inputs, each from a seed, which is printed when it fails."""
    suppressed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    limits = settings(max_examples=max(1, round(share * INPUTS)), deadline=None, suppress_health_check=suppressed,
                      phases=[Phase.explicit, Phase.generate])  # a smaller seed makes no smaller input  # fmt: skip
    return lambda test: limits(given(rng=st.integers(0, 2**32).map(Seeded))(test))


@contextmanager
def bounded() -> Iterator[None]:
    """At most so long, and so much memory."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < KIBIBYTES


def done(call: Callable[[], object], written: Path) -> str | None:
    """What the call printed; None if it refused, and then it says why in one line, and what it writes is as it was."""
    before, printed = contents(written), StringIO()
    try:
        with bounded(), redirect_stdout(printed):
            call()
    except (InputError, OSError) as error:
        text = one_line(error)
        assert text and len(text) <= CHARACTERS, text[: 2 * CHARACTERS]
        assert contents(written) == before
        return None
    return printed.getvalue()


@pytest.fixture
def error_texts() -> None:
    """Here `done` looks at them, as they are printed."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The course's files and parameters, and a trained row and a language model of random weights."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_course_folder(RAW, pairs=30, sentences=30, poems=12)
        shutil.copytree(RAW, "pristine")
        write_params(usual())
        write_backbone(MODELS / "backbone")
        write_prepared(PREPARED, rows=3)
        shutil.copytree(MODELS / "backbone", MODELS / "sonnet/full")
        row = MODELS / "sentiment/sst_full"
        build_classifier(MODELS / "backbone", 5, "last", 0.1, 0.3).save_pretrained(row)
        copy_tokenizer(MODELS / "backbone", row)
        yield folder


def usual() -> dict[str, Any]:
    params = small_params("course")
    params["sentiment"]["defaults"]["max_length"] = 96  # tokens that the tiny model takes
    return params


def write_params(values: Any) -> None:  # noqa: ANN401 - YAML values
    with open("params.yaml", "w") as file:
        YAML(typ="safe").dump(values, file)


@example(0.35)
def test_prepare(project: Path, rng: Seeded) -> None:
    write_params(usual())
    name = rng.choice(sorted(path.name for path in Path("pristine").iterdir()))
    shutil.copytree("pristine", RAW, dirs_exist_ok=True)
    (RAW / name).write_bytes(broken((Path("pristine") / name).read_bytes(), rng))
    if done(prepare.main, Path("data/prepared")) is not None:
        for corpus, read in CORPORA.items():
            for path in (PREPARED / corpus).glob("*.csv"):
                read(path)
        for split in ("train", "select", "dev", "test"):
            read_poems(PREPARED / "sonnets" / f"{split}.jsonl")
        assert json.loads(Path("metrics/data.json").read_text())


@example(0.25)
def test_params_with_odd_values(project: Path, rng: Seeded) -> None:
    values = block = usual()
    key = rng.choice(sorted(block))
    while isinstance(block[key], dict) and block[key] and rng.random() < 0.9:
        block = block[key]
        key = rng.choice(sorted(block))
    match rng.randrange(4):
        case 0:
            del block[key]
        case 1:
            block[rng.choice(["x", "a b", "../x", "ü", 7, True, "a" * 1000])] = block[key]
        case _:
            block[key] = rng.choice(ODD_VALUES)
    write_params(values)
    assert done(checked, RAW) is None or sound()


@example(0.05)
def test_params_with_odd_marks(project: Path, rng: Seeded) -> None:
    text = (REPOSITORY / "profiles/sample.yaml").read_text()
    start = rng.randrange(len(text))
    Path("params.yaml").write_text(text[:start] + rng.choice(ODD_YAML) + text[start + rng.choice([0, 0, 1, 30]) :])
    assert done(checked, RAW) is None or sound()


def checked() -> None:
    check_methods(load_params())


def sound() -> bool:
    """Whether what was accepted has finite numbers, but in defaults that no row takes, and is accepted again."""
    params = load_params()
    unused = {task: {"defaults", "system_defaults"} for task in ("sentiment", "paraphrase", "sonnet")}
    json.dumps(params.model_dump(exclude=unused), allow_nan=False, default=str)
    again = Params.model_validate(params.model_dump())
    return again.model_dump(exclude=unused) == params.model_dump(exclude=unused)


@example(0.15)
def test_predict(project: Path, rng: Seeded) -> None:
    write_params(usual())
    texts = ["A lovely film, warm and clever.", 'A "dull" one', "caf\u00e9 \u2014 noisy, stale"]
    if rng.random() < 0.5:
        data = "".join(json.dumps({"text": text, "other": [1, None]}) + "\n" for text in texts)
    else:
        data = "id\ttext\n" + "".join(f"{number}\t{text}\n" for number, text in enumerate(texts))
    Path("texts").write_bytes(broken(data.encode(), rng))
    shape = rng.choice([[], ["--json"], ["--course"]])
    printed = done(lambda: main(["predict", "sentiment", "--row", "sst_full", "--file", "texts", *shape]), MODELS)
    if printed is not None:
        columns = ["text", *(["id"] if shape == ["--course"] else [])]
        rows = len(read_records(Path("texts"), columns))
        assert printed.count("\n") == rows + (shape != ["--json"])  # a header
        if shape == ["--json"]:
            assert all(abs(sum(json.loads(line)["probabilities"]) - 1) < 1e-5 for line in printed.splitlines())


@example(0.05)
def test_sonnet(project: Path, rng: Seeded) -> None:
    write_params(usual())
    lines = b"Shall I compare thee / to a summer's day / thou art more lovely"
    text = broken(lines, rng).decode("utf-8", "surrogateescape").replace("\x00", "")  # as arguments reach a program
    seed = str(rng.choice([0, -1, 10**30]))
    printed = done(lambda: main(["sonnet", "--system", "top_p_untuned", "--seed", seed, "--", text]), MODELS)
    given = [line for line in map(clean, re.split(r"[/\n]", text)) if line] if printed else []
    assert printed is None or printed.split("\n")[: len(given)] == given != []


@example(0.15)
def test_import_of_translations(project: Path, rng: Seeded) -> None:
    write_params(usual())
    shutil.rmtree("memory", ignore_errors=True)
    Path("export.tsv").write_bytes(broken((Path("pristine") / "translations.tsv").read_bytes()[:3000], rng))
    with TranslationMemory(Path("memory/translations.sqlite")) as memory:
        before = rows_of(memory)
        refused = done(lambda: memory.import_tsv(Path("export.tsv")), RAW) is None
        assert rows_of(memory) == before if refused else all(all(row) for row in rows_of(memory))


def rows_of(memory: TranslationMemory) -> list[Any]:
    return memory.connection.execute("SELECT * FROM translations").fetchall()
