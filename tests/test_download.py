"""Downloads against a local server that misbehaves: resumed, verified, and complete under the final name or absent."""

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from course_files import write_course_folder
from ruamel.yaml import YAML

from pipeline.errors import InputError
from pipeline.stages import download
from pipeline.text import download as raw
from pipeline.text.download import Source, read_manifest

BODY = bytes(range(256)) * 1200  # 307,200 bytes; a block is 65,536
SHA256 = hashlib.sha256(BODY).hexdigest()
GIT_BLOB = hashlib.sha1(b"blob %d\0" % len(BODY) + BODY).hexdigest()
COURSE_FILES = [*raw.REQUIRED, *raw.OPTIONAL]
MANIFEST = Path(__file__).parents[1] / "data/sources/course.yaml"


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `faults` are used up one a request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"a.txt": BODY}
        self.faults: list[str] = []
        self.ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        name = self.path.rsplit("/", 1)[-1]
        if fault.isdigit() or name not in self.server.files:
            self.send_error(int(fault or 404))
            return
        body = self.server.files[name]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and fault != "no range" else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : start + 131_072] if fault == "drop" else body[start:])


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(raw, "PAUSE", 0.0)
    return tmp_path


def source(*urls: str, **known: object) -> Source:
    return Source.model_validate({"urls": list(urls), **({"sha256": SHA256} | known)})


def partial(content: bytes) -> Path:
    raw.DOWNLOADS.mkdir(parents=True)
    path = raw.DOWNLOADS / "a.txt.part"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("known", [{}, {"size": len(BODY)}, {"sha256": None, "git_blob": GIT_BLOB}])
def test_a_file_is_fetched_once(server: Server, known: dict[str, object]) -> None:
    wanted = source(f"{server.url}/a.txt", **known)
    assert raw.fetch("a.txt", wanted).read_bytes() == BODY
    assert raw.fetch("a.txt", wanted) == raw.DOWNLOADS / "a.txt"
    assert server.ranges == [None]
    assert [path.name for path in raw.DOWNLOADS.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        (["drop"], [None, "bytes=131072-"]),
        (["drop", "drop"], [None, "bytes=131072-", "bytes=262144-"]),
        (["drop", "no range"], [None, "bytes=131072-"]),
        (["500", "503", "429"], [None, None, None, None]),
        (["drop", "500"], [None, "bytes=131072-", "bytes=131072-"]),
    ],
)
def test_a_broken_download_goes_on(server: Server, faults: list[str], ranges: list[str | None]) -> None:
    server.faults = faults
    assert raw.fetch("a.txt", source(f"{server.url}/a.txt")).read_bytes() == BODY
    assert server.ranges == ranges


def test_a_later_run_goes_on(server: Server) -> None:
    server.faults = ["drop", "500", "500", "500"]
    with pytest.raises(InputError, match="a.txt: could not be fetched: .*500 Internal Server Error, tried 4 times"):
        raw.fetch("a.txt", source(f"{server.url}/a.txt"))
    assert not (raw.DOWNLOADS / "a.txt").exists()
    assert raw.fetch("a.txt", source(f"{server.url}/a.txt")).read_bytes() == BODY
    assert server.ranges[-1] == "bytes=131072-"


@pytest.mark.parametrize(
    ("left", "known"),
    [
        (BODY, {"size": len(BODY)}),
        (BODY, {}),
        (b"stale" * 9, {}),
        (BODY + b"more", {}),
        (BODY + b"more", {"size": len(BODY)}),
    ],
)
def test_what_an_earlier_run_left_is_used_or_replaced(server: Server, left: bytes, known: dict[str, object]) -> None:
    partial(left)
    assert raw.fetch("a.txt", source(f"{server.url}/a.txt", **known)).read_bytes() == BODY


def test_mirrors_are_tried_in_order(server: Server) -> None:
    server.files["b.txt"] = b"wrong"
    urls = [f"{server.url}/none.txt", f"{server.url}/b.txt", "http://127.0.0.1:1/a.txt", f"{server.url}/a.txt"]
    assert raw.fetch("a.txt", source(*urls)).read_bytes() == BODY


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("none.txt", {}, "404 Not Found"),
        ("b.txt", {}, f"expected sha256 {SHA256}, got "),
        ("b.txt", {"sha256": None, "git_blob": GIT_BLOB}, f"expected git blob id {GIT_BLOB}, got "),
        ("b.txt", {"size": 7}, "expected 7 bytes, got 5"),
        ("a.txt", {"size": 7}, "expected 7 bytes"),
    ],
)
def test_a_wrong_file_never_gets_the_name(server: Server, name: str, known: dict[str, object], expected: str) -> None:
    server.files["b.txt"] = b"wrong"
    with pytest.raises(InputError, match=expected) as error:
        raw.fetch("a.txt", source(f"{server.url}/{name}", **known))
    assert str(error.value).startswith("a.txt: could not be fetched")
    assert list(raw.DOWNLOADS.iterdir()) == []


def test_an_unreachable_server() -> None:
    with pytest.raises(InputError, match=r"http://127.0.0.1:1/a.txt: no connection, tried 4 times"):
        raw.fetch("a.txt", source("http://127.0.0.1:1/a.txt"))


def test_a_full_disk_names_the_file(server: Server) -> None:
    raw.DOWNLOADS.mkdir(parents=True)
    (raw.DOWNLOADS / "a.txt.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as error:
        raw.fetch("a.txt", source(f"{server.url}/a.txt"))
    assert error.value.filename == "checkpoints/download/a.txt.part"


def test_a_manifest_becomes_data_raw(server: Server, workplace: Path, params: Callable[[str], None]) -> None:
    course = write_course_folder(workplace / "course")
    server.files = {path.name: path.read_bytes() for path in course.iterdir()}
    write_manifest(Path("manifest.yaml"), server)
    params("manifest.yaml")
    download.main()
    assert {path.name: path.read_bytes() for path in raw.RAW.iterdir()} == server.files
    assert not raw.DOWNLOADS.exists()
    server.files, requests = {}, len(server.ranges)
    download.main()  # data/raw has everything
    assert len(server.ranges) == requests


def test_a_failed_run_keeps_what_it_fetched(server: Server, workplace: Path, params: Callable[[str], None]) -> None:
    course = write_course_folder(workplace / "course", optional=False)
    server.files = {path.name: path.read_bytes() for path in course.iterdir()}
    write_manifest(Path("manifest.yaml"), server)
    params("manifest.yaml")
    last = server.files.pop("TRUE_sonnets_held_out_dev.txt")
    with pytest.raises(InputError, match="TRUE_sonnets_held_out_dev.txt: could not be fetched"):
        download.main()
    assert not raw.RAW.exists()
    assert len(list(raw.DOWNLOADS.iterdir())) == len(server.files)
    requests = len(server.ranges)
    server.files["TRUE_sonnets_held_out_dev.txt"] = last
    download.main()
    assert len(server.ranges) == requests + 1
    assert len(list(raw.RAW.iterdir())) == len(server.files)


def test_a_folder_becomes_data_raw(workplace: Path, params: Callable[[str], None]) -> None:
    course = write_course_folder(workplace / "course")
    (course / "notes.md").write_text("not a course file")
    raw.RAW.mkdir(parents=True)
    (raw.RAW / "old.csv").write_text("of an earlier run")
    params("course")
    download.main()
    assert {path.name for path in raw.RAW.iterdir()} == {path.name for path in course.iterdir()} - {"notes.md"}


def test_the_committed_manifest_is_sound() -> None:
    manifest = read_manifest(MANIFEST)
    assert set(raw.REQUIRED) <= set(manifest)
    assert all(len(entry.urls) == 2 and entry.git_blob for entry in manifest.values())


@pytest.fixture
def params(workplace: Path) -> Callable[[str], None]:
    """Write params.yaml with the given data.path."""

    def write(path: str) -> None:
        committed = YAML(typ="safe").load((MANIFEST.parents[2] / "params.yaml").read_text())
        committed["data"]["path"] = path
        with open("params.yaml", "w") as file:
            YAML(typ="safe").dump(committed, file)

    return write


def write_manifest(path: Path, server: Server) -> None:
    files = {
        name: {"urls": [f"{server.url}/{name}"], "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        for name, body in sorted(server.files.items(), key=lambda item: COURSE_FILES.index(item[0]))
    }
    path.write_text(json.dumps(files))  # JSON is YAML, and keeps the order
