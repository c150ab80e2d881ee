"""Broken raw files, manifests and parameters: one line that names the culprit, exit code 1, nothing half-written."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from course_files import sonnet, write_course_folder
from ruamel.yaml import YAML

from pipeline.errors import stage_main
from pipeline.stages import download, prepare
from pipeline.text import download as source_files

REPOSITORY = Path(__file__).parents[1]
RAW = Path("data/raw")
QUORA = "\tid\tsentence1\tsentence2\tis_duplicate\n"
ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
BOMB = f"{ENTITIES}<xml><text_pair><sent1_raw>&b;</sent1_raw></text_pair></xml>"
Break = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source_files, "PAUSE", 0.0)
    shutil.copy(REPOSITORY / "params.yaml", "params.yaml")
    return tmp_path


def params(block: str, **values: Any) -> Break:  # noqa: ANN401 - YAML values
    """Change entries of a block of params.yaml; `top` is the whole file."""

    def apply(_: pytest.MonkeyPatch) -> None:
        yaml = YAML(typ="safe")
        content = yaml.load(Path("params.yaml").read_text())
        (content if block == "top" else content[block]).update(values)
        with open("params.yaml", "w") as file:
            yaml.dump(content, file)

    return apply


def raw(name: str, content: str | bytes) -> Break:
    """Replace a raw file."""
    data = content.encode() if isinstance(content, str) else content
    return lambda _: None if (RAW / name).write_bytes(data) else None


def quora_train(*rows: str) -> Break:
    return raw("quora-train.csv", QUORA + "".join(f"{row}\n" for row in rows))


def folder_instead(path: Path) -> Break:
    def apply(_: pytest.MonkeyPatch) -> None:
        path.unlink()
        path.mkdir()

    return apply


def file_instead(path: str) -> Break:
    def apply(_: pytest.MonkeyPatch) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("a file")

    return apply


def full_disk(target: str) -> Break:
    def fail(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda monkeypatch: monkeypatch.setattr(target, fail)


def manifest(text: str | bytes = "", **entry: Any) -> Break:  # noqa: ANN401 - YAML values
    """Use a manifest: `text`, or a sound one of which the entry of quora-train.csv is changed (None removes a key)."""

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        params("data", path="manifest.yaml")(monkeypatch)
        sound = {"urls": ["http://127.0.0.1:1/x"], "sha256": "0" * 64}
        changed = {key: value for key, value in (sound | entry).items() if value is not None}
        with open("manifest.yaml", "wb") as file:
            if text:
                file.write(text if isinstance(text, bytes) else text.encode())
            else:
                file.write(
                    json.dumps(dict.fromkeys(source_files.REQUIRED, sound) | {"quora-train.csv": changed}).encode()
                )

    return apply


BAD_DOWNLOADS: dict[str, tuple[Break, str]] = {
    "data.path missing": (params("data", path="nowhere"), "data.path: nowhere does not exist"),
    "data.path a number": (params("data", path=3), "data.path: "),
    "data.path empty": (params("data", path=""), "data.path: "),
    "unknown key in data": (params("data", sha=1), "data.sha: "),
    "unknown top-level key": (params("top", sead=1), "sead: unknown key"),
    "params.yaml missing": (lambda _: Path("params.yaml").unlink(), "params.yaml: no such file"),
    "params.yaml broken": (lambda _: Path("params.yaml").write_text("a: [") and None, "params.yaml: not valid YAML"),
    "course file missing": (lambda _: Path("course/sonnets.txt").unlink(), "course: no file sonnets.txt"),
    "folder as course file": (folder_instead(Path("course/quora-dev.csv")), "course: no file quora-dev.csv"),
    "data is a file": (file_instead("data"), "data"),
    "data/raw is a file": (file_instead("data/raw"), "data/raw"),
    "disk full": (full_disk("shutil.copyfile"), "the disk is full"),
    "manifest not YAML": (manifest("a: ["), "manifest.yaml: not valid YAML"),
    "manifest not UTF-8": (manifest(b"\xff\xfe\0"), "manifest.yaml: not valid YAML"),
    "manifest a list": (manifest("- a"), "manifest.yaml: expected a mapping"),
    "manifest with a path": (manifest("../x: {}"), "manifest.yaml: unknown file name '../x'"),
    "manifest incomplete": (manifest("sonnets.txt: {}"), "manifest.yaml: no entry for quora-train.csv"),
    "manifest entry empty": (manifest(urls=None, sha256=None), "quora-train.csv.urls: Field required"),
    "manifest unknown key": (manifest(md5="0" * 32), "quora-train.csv.md5: "),
    "manifest short hash": (manifest(sha256="abc"), "quora-train.csv.sha256: "),
    "manifest no hash": (manifest(sha256=None), "quora-train.csv: expected either sha256 or git_blob"),
    "manifest two hashes": (manifest(git_blob="0" * 40), "quora-train.csv: expected either"),
    "manifest local file": (manifest(urls=["file:///etc/passwd"]), "quora-train.csv.urls.0: "),
    "manifest size a string": (manifest(size="10"), "quora-train.csv.size: "),
    "server unreachable": (manifest(), "quora-train.csv: could not be fetched: http://127.0.0.1:1/x: no connection"),
}

BAD_PREPARES: dict[str, tuple[Break, str]] = {
    "style unknown": (params("text", style="upper"), "text.style: "),
    "share a string": (params("text", select={"sst": "0.15"}), "text.select.sst: "),
    "share zero": (
        params("text", select=dict.fromkeys(("sst", "cfimdb", "paraphrase", "sonnets"), 0.0)),
        "text.select.sst",
    ),
    "unknown key in text": (params("text", stile="cased"), "text.stile: "),
    "too few train_rows": (params("text", train_rows={"sst": 3}), "text.train_rows.sst: "),
    "seed a string": (params("top", seed="x"), "seed: Input should be a valid integer"),
    "file missing": (lambda _: (RAW / "quora-dev.csv").unlink(), "data/raw/quora-dev.csv: no such file"),
    "folder as file": (folder_instead(RAW / "quora-dev.csv"), "data/raw/quora-dev.csv: a folder stands"),
    "empty file": (raw("ids-sst-dev.csv", ""), "data/raw/ids-sst-dev.csv: the file is empty"),
    "header only": (raw("ids-sst-dev.csv", "\tid\tsentence\tsentiment\n"), "data/raw/ids-sst-dev.csv: no usable row"),
    "wrong column": (raw("ids-cfimdb-train.csv", "\tid\ttext\tsentiment\n0\ta\tb\t1\n"), "column sentence is missing"),
    "label 7 everywhere": (
        quora_train("0\ta\tb\tc\t7.0", "1\td\te\tf\t7"),
        "quora-train.csv: no usable row (2 dropped_label)",
    ),
    "no labels": (raw("quora-dev.csv", QUORA + "0\ta\tb\tc\t\n"), "data/raw/quora-dev.csv: no usable row"),
    "binary": (
        raw("quora-train.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
        "quora-train.csv: line 1, byte 0: not UTF-8",
    ),
    "UTF-16": (raw("quora-train.csv", QUORA.encode("utf-16")), "quora-train.csv: binary data or UTF-16"),
    "Latin-1": (
        raw("ids-sst-train.csv", "\tid\tsentence\tsentiment\n0\ta\tcaf\xe9\t1\n".encode("latin-1")),
        "line 2, byte 30",
    ),
    "2 MB line": (
        quora_train("0\ta\t" + "x" * 2_000_000 + "\tb\t1"),
        "quora-train.csv: no usable row (1 dropped_long_field)",
    ),
    "NUL byte": (quora_train("0\ta\t" + "x" * 50 + "\0\tb\t1"), "quora-train.csv: no usable row (1 dropped_nul_byte)"),
    "open quote": (quora_train('0\ta\t"b\tc\t1'), "quora-train.csv: no usable row (1 dropped_quoting)"),
    "one question in all pairs": (
        quora_train("0\ta\tb\tc\t1", "1\td\tc\te\t0"),
        "shared questions link all training pairs",
    ),
    "all of train in dev": (
        raw("quora-dev.csv", QUORA + "0\ta\tb\tc\t1\n"),
        "every row is contradicted or also in dev",
    ),
    "sonnets without numbers": (raw("sonnets.txt", "Sonnets\n\nA line\n"), "data/raw/sonnets.txt: no sonnet found"),
    "one sonnet": (raw("sonnets.txt", sonnet(1, ["a line"] * 14)), "too few to hold some out"),
    "sonnets without lines": (
        raw("sonnets_held_out.txt", "1\n\n2\n"),
        "data/raw/sonnets_held_out.txt: every sonnet is empty",
    ),
    "prompt without its poem": (
        raw("sonnets_held_out_dev.txt", sonnet(777, ["a"] * 3)),
        "no whole poem for sonnet 777",
    ),
    "XML entity bomb": (raw("ETPC.xml", BOMB), "data/raw/ETPC.xml: XML entities are refused"),
    "XML broken": (raw("ETPC.xml", "<xml><text_pair>"), "data/raw/ETPC.xml: not well-formed XML"),
    "XML of something else": (raw("ETPC.xml", "<html/>"), "data/raw/ETPC.xml: no usable row"),
    "plays empty": (raw("plays.txt", " \n"), "data/raw/plays.txt: the file is empty"),
    "prepared is a file": (file_instead("data/prepared"), "data/prepared"),
    "metrics is a file": (file_instead("metrics"), "metrics"),
    "disk full": (full_disk("os.fsync"), "train.csv: the disk is full"),
}


def run(main: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr of a stage that ends with exit code 1."""
    with pytest.raises(SystemExit) as end:
        stage_main(lambda _: main())
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.endswith("\n") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("case", BAD_DOWNLOADS)
def test_download(case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    params("data", path="course")(monkeypatch)
    write_course_folder(Path("course"))
    apply, expected = BAD_DOWNLOADS[case]
    apply(monkeypatch)
    assert expected in run(download.main, capsys)
    assert not RAW.is_dir()
    assert list(Path().glob("data/.*")) == list(Path().glob("checkpoints/download/*")) == []


@pytest.mark.parametrize("case", BAD_PREPARES)
def test_prepare(case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_course_folder(RAW)
    if case == "all of train in dev":
        quora_train("0\ta\tc\tb\t1")(monkeypatch)
    apply, expected = BAD_PREPARES[case]
    apply(monkeypatch)
    assert expected in run(prepare.main, capsys)
    assert not prepare.METRICS.exists()
    assert list(Path().glob("data/prepared/.*")) == []
    if case != "metrics is a file":  # written last, after whole folders
        assert list(Path().glob("data/prepared/*")) == []


@pytest.mark.parametrize(
    ("stage", "apply", "expected"),
    [
        ("download", params("data", path="nowhere"), "error: data.path: nowhere does not exist"),
        ("prepare", raw("ETPC.xml", BOMB), "error: data/raw/ETPC.xml: XML entities are refused"),
        ("prepare", quora_train("0\ta\tb\tc\t7"), "error: data/raw/quora-train.csv: no usable row"),
    ],
)
def test_as_a_command(stage: str, apply: Break, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_course_folder(RAW)
    apply(monkeypatch)
    command = [sys.executable, "-m", "pipeline.stages", stage]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(expected)
