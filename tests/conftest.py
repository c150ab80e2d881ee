"""Settings of the whole suite, made before anything imports torch."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Two workers side by side, each with one thread: threads that wait for each other on busy cores are slower.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


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
