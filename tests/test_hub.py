"""The hub as the source of the backbone, against a server that speaks its protocol: a whole model or one clear line."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hub_server import COMMIT, NAME, NEVER, OLD_NAME, TOKEN, HubServer, model_files, serve, sha256
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from safetensors.torch import load, load_file

from pipeline.config.data import Hub
from pipeline.errors import InputError, one_line
from pipeline.models.pretrained import hub_folder

HUB, LABEL = Hub(name=NAME, revision=COMMIT), "params.yaml: backbone.hub"
WEIGHTS = "model.safetensors"
ADOPT = """
from pathlib import Path
from tiny import TEXT
from pipeline.config.data import Backbone, Hub
from pipeline.errors import stage_main
from pipeline.models.pretrained import adopt
def main(arguments):
    folder, name, *revisions = arguments
    for revision in revisions:
        adopt(Backbone.model_construct(source="hub", hub=Hub(name=name, revision=revision)), TEXT, Path(folder))
stage_main(main)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("hub") / "model")


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[HubServer]:
    with serve(files) as hub:
        yield hub


@pytest.fixture(autouse=True)
def cache(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of a user without an account, whose hub is the server; nobody waits between two tries."""
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)  # bytes that are written at a time, else 10 MB
    point_to(server.url, monkeypatch)
    for module in ("utils._http", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.time", SimpleNamespace(sleep=lambda _: None))
    yield tmp_path / "cache"
    close_session()


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_ENDPOINT does before huggingface_hub is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    close_session()


def damaged(content: bytes) -> bytes:
    """One byte is another."""
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def check_whole(files: dict[str, bytes], hub: Hub = HUB) -> Path:
    """The model comes, byte for byte and without what else is there."""
    folder = hub_folder(hub, LABEL)
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == {name: content for name, content in files.items() if name not in NEVER}
    return folder


def refusal(hub: Hub = HUB) -> str:
    """The line that a failure ends with, after what every such line begins with."""
    with pytest.raises(InputError) as caught:
        hub_folder(hub, LABEL)
    line, start = str(caught.value), f"{LABEL}: {hub.name} at {hub.revision[:12]}"
    assert line == one_line(caught.value) and line.startswith(start)
    return line.removeprefix(start)


def check_network(reason: str) -> None:
    """The line blames the network, for this reason."""
    line = refusal()
    assert reason in line and line.endswith(NETWORK)


@pytest.mark.parametrize("xet", [False, True])
def test_a_model_is_downloaded_once(server: HubServer, files: dict[str, bytes], xet: bool) -> None:
    """Of what is not wanted nothing is asked for; the second time nothing at all."""
    server.xet = xet
    folder = check_whole(files)
    named = " ".join(server.asked)
    assert not [name for name in NEVER if name in named or sha256(files[name]) in named]
    assert ("GET cdn" in named, "GET xorb" in named) == (not xet, xet)
    server.asked.clear()
    assert hub_folder(HUB, LABEL) == folder and not server.asked


def test_a_model_becomes_the_backbone(server: HubServer, files: dict[str, bytes], tmp_path: Path) -> None:
    """In a process of its own, with the hub and its cache named as users name them; then a revision that is none."""
    surroundings = os.environ | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    surroundings["PYTHONPATH"] = os.pathsep.join(map(str, Path(__file__).parents[:2]))
    command = [sys.executable, "-c", ADOPT, str(tmp_path / "out"), NAME, COMMIT, "0" * 40]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{LABEL}: {NAME}: ") and "nats a token of held-out text" in done.stdout, done.stderr
    given, saved = load(files[WEIGHTS]), load_file(tmp_path / "out" / WEIGHTS)
    assert given.keys() == saved.keys() and all(torch.equal(given[name], saved[name]) for name in given)
    assert (tmp_path / "home/hub/models--someone--model").is_dir()
    assert {entry.split()[1] for entry in server.asked} == {"tree", "resolve", "cache", "cdn"}
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == f"error: {LABEL}: {NAME} at 000000000000{NO_REVISION}"


GATED = ": is gated: accept its licence on its page and set HF_TOKEN to a token of your account"
NOT_THERE = ": is not there, or private: check the name, or set HF_TOKEN to a token that may read it"
NO_REVISION = ": has no such revision; see its list of commits"
PICKLED = ": has no *.safetensors (pickled weights are never loaded); choose another model or revision"
BAD_TOKEN = ": the hub refuses it ({}): HF_TOKEN must be a valid token that may read it, or not be set"
LATER = ": the hub answers {}: try again later, whole files are kept"
NETWORK = "; check the network and run again (whole files are kept), or set another backbone.source"


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (404, {"X-Error-Code": "RepoNotFound"}, NOT_THERE),
        (401, {"X-Error-Code": "RepoNotFound"}, NOT_THERE),
        (403, {"X-Error-Code": "GatedRepo"}, GATED),
        (404, {"X-Error-Code": "RevisionNotFound"}, NO_REVISION),
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, BAD_TOKEN),
        (403, {}, BAD_TOKEN),
        (429, {"Retry-After": "0"}, LATER),
        (500, {}, LATER),
        (503, {}, LATER),
    ],
)
def test_a_refusal_is_one_line(
    server: HubServer, files: dict[str, bytes], status: int, headers: dict[str, str], expected: str
) -> None:
    """Of the list of files, of one or of the weights alone; the model comes once the hub gives it out."""
    for kind in ("tree", "resolve", *(["cdn"] if "{}" in expected else [])):
        server.refusals = {kind: (status, headers)}
        assert refusal() == expected.format(status), kind
    server.refusals = {}
    check_whole(files)


def test_a_model_that_has_moved(files: dict[str, bytes]) -> None:
    check_whole(files, Hub(name=OLD_NAME, revision=COMMIT))


def test_what_the_hub_does_not_have(server: HubServer, files: dict[str, bytes]) -> None:
    assert refusal(Hub(name="someone/other", revision=COMMIT)) == NOT_THERE
    assert refusal(Hub(name=NAME, revision="0" * 40)) == NO_REVISION
    wrong = refusal(Hub(name="https://hub/some/model", revision=COMMIT))
    assert wrong.startswith(": is no name of a model (") and wrong.endswith("); expected organisation/model")
    server.files = {name: content for name, content in files.items() if name != WEIGHTS}
    assert refusal() == PICKLED


def test_a_gated_model_comes_with_a_token(
    server: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.gated = True
    assert refusal() == GATED
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    check_whole(files)


def test_what_is_no_hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that wants a password, the page of a gateway, an address without its scheme."""
    server.refusals = {"tree": (200, {"Content-Type": "text/html"})}
    check_network("Expecting value")
    for kind in ("tree", "resolve", "cdn"):
        server.refusals = {kind: (407, {})}
        check_network("407 Proxy Authentication Required")
    server.refusals = {"resolve": (200, {"Content-Type": "text/html"})}
    check_network("is missing the 'X-Repo-Commit' header")
    point_to("huggingface.co", monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", f"{constants.HF_HUB_CACHE}-of-another")
    check_network("missing an 'http://' or 'https://' protocol")


def test_a_hub_or_a_proxy_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("HTTP_PROXY", nowhere)
    close_session()
    check_network("Connection refused")
    monkeypatch.delenv("HTTP_PROXY")
    point_to(nowhere, monkeypatch)
    check_network("Connection refused")


def test_a_cut_download_goes_on(server: HubServer, files: dict[str, bytes]) -> None:
    """Within one call: the library itself asks for the rest."""
    weights = sha256(files[WEIGHTS])
    server.cuts = {weights: [70_000, 50_000]}
    check_whole(files)
    assert server.ranges[weights] == [None, "bytes=70000-", "bytes=120000-"]


def test_half_a_file_is_never_taken(
    server: HubServer, files: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the call in which the connection goes for good, nor offline; the next one gets what is missing."""
    weights = sha256(files[WEIGHTS])
    server.cuts = {weights: [70_000] + [0] * 99}
    check_network("received 0 bytes")
    assert not list(cache.rglob(WEIGHTS)) and not list(cache.rglob(f"blobs/{weights}*"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "offline mode is enabled" in refusal()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    server.cuts, before = {}, len(server.asked)
    check_whole(files)
    assert server.asked[before:] == [f"HEAD resolve {WEIGHTS}", f"GET cdn {weights}"]


def test_without_the_network(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hub that is down, or offline, a model in the cache is as good as any."""
    folder = hub_folder(HUB, LABEL)
    server.refusals = dict.fromkeys(("tree", "resolve", "cdn"), (503, {}))
    assert hub_folder(HUB, LABEL) == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub_folder(HUB, LABEL) == folder
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "another"))
    check_network("offline mode is enabled. To disable it, please unset the `HF_HUB_OFFLINE`")


@pytest.mark.parametrize("xet", [False, True])
@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
def test_a_file_damaged_in_the_cache_is_refused(
    server: HubServer, files: dict[str, bytes], name: str, xet: bool
) -> None:
    """And the cure of the message is one."""
    server.xet = xet
    file = (hub_folder(HUB, LABEL) / name).resolve()
    file.chmod(0o644)
    file.write_bytes(damaged(files[name]))
    assert refusal() == f": {name} is not what the hub gives out; delete {file} and run again"
    file.unlink()
    check_whole(files)


@pytest.mark.parametrize("xet", [False, True])
def test_wrong_bytes_are_refused(server: HubServer, files: dict[str, bytes], xet: bool) -> None:
    server.xet = xet
    weights = sha256(files[WEIGHTS])
    server.content[weights] = damaged(files[WEIGHTS])
    line = refusal()
    file = Path(line.removeprefix(f": {WEIGHTS} is not what the hub gives out; delete ").removesuffix(" and run again"))
    server.content[weights] = files[WEIGHTS]
    assert refusal() == line
    file.unlink()
    check_whole(files)


def test_a_cdn_with_a_shorter_file_is_refused(server: HubServer, files: dict[str, bytes]) -> None:
    weights = sha256(files[WEIGHTS])
    server.content[weights] = files[WEIGHTS][:-8]
    check_network(f"file should be of size {len(files[WEIGHTS])} but has size")
    server.content[weights] = files[WEIGHTS]
    check_whole(files)


@pytest.mark.parametrize("kind", ["token", "terms", "xorb"])
def test_a_storage_that_fails_is_one_line(server: HubServer, files: dict[str, bytes], kind: str) -> None:
    """The storage of Xet has a client of its own, with errors of its own."""
    server.xet = True
    server.refusals = {kind: (404, {})}
    check_network("404")
    server.refusals = {}
    check_whole(files)


def test_a_disk_without_links(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    assert not (check_whole(files) / WEIGHTS).is_symlink()


def test_a_fault_of_the_disk_is_not_blamed_on_the_network(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(OSError) as caught:
        hub_folder(HUB, LABEL)
    assert one_line(caught.value).endswith("a file stands where a folder belongs: move it away")
