"""Settings of the whole suite, made before anything imports torch."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import LONGEST as LONGEST_TEXT
from pipeline.errors import InputError

# Two workers side by side, each with one thread: threads that wait for each other on busy cores are slower.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["DVC_NO_ANALYTICS"] = "1"
os.environ["STAGE_WARM"] = "0"  # the server would be a new one for every run of DVC
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

LONGEST = (
    "test_dag.py", "test_cookbook.py", "test_distributed.py", "test_resume.py", "test_shards.py", "test_parallel.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one of them at the end would keep one worker busy and the other waiting."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def default_type() -> Iterator[None]:
    """A stage that a test has run in this process may have left torch computing in float64."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_default_dtype(sys.modules["torch"].float32)


@pytest.fixture(autouse=True)
def error_texts(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test provokes is added to errors.txt, for people to read, and is short enough to be read."""
    texts: list[str] = []
    monkeypatch.setattr(InputError, "__init__", lambda _, *arguments: texts.extend(map(str, arguments)), raising=False)
    yield
    texts = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    folder = tmp_path_factory.getbasetemp()
    with open((folder.parent if folder.name.startswith("popen-") else folder) / "errors.txt", "a") as file:
        file.writelines(f"{text}\n" for text in texts)
    long = [text for text in texts if len(re.sub(r"/tmp/\S+/", "", text)) > LONGEST_TEXT]
    assert not long


@pytest.fixture(scope="session")
def warm_programs() -> Iterator[Path]:
    """The folder with `python` and `dvc` of tests/warm_python.py."""
    from warm_python import warm_python

    with warm_python() as folder:
        yield folder


@pytest.fixture(scope="module")
def warm(warm_programs: Path) -> Iterator[None]:
    """They are the `python` and `dvc` of PATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(warm_programs), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The report's project, evaluated, as the current folder; tests put back what they change."""
    from report_project import make_project, run_all

    folder, before = tmp_path_factory.mktemp("project"), Path.cwd()
    os.chdir(folder)
    make_project(folder)
    run_all()
    yield folder
    os.chdir(before)
