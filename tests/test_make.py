"""`make` finds a Python to install with."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_project import REPOSITORY

# A name that is on PATH for a version that is not installed: version managers put such ones there.
MISSING = "echo 'command not found' >&2; exit 127"
HINT = "does not run: install Python 3.11, 3.12 or 3.13, or set PYTHON=\n"


def make(folder: Path, pythons: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make` for the environment, with nothing else on PATH than Pythons of some version, or MISSING."""
    programs = folder / "bin"
    programs.mkdir()
    for name, version in pythons.items():
        says = f'exec {sys.executable} -c "import sys; sys.version_info = ({version}, 0); $2"'
        (programs / name).write_text(f"#!/bin/sh\n{version if version == MISSING else says}\n")
        (programs / name).chmod(0o755)
    shutil.copy(REPOSITORY / "Makefile", folder)
    (folder / "requirements.txt").touch()
    command = [str(shutil.which("make")), ".venv/.installed", *arguments]
    return subprocess.run(command, cwd=folder, env={"PATH": str(programs)}, capture_output=True, text=True)


@pytest.mark.parametrize(
    "pythons, words, expected",
    [
        ({"python3.11": "3, 11", "python3.12": "3, 12", "python3": "3, 12"}, [], "python3.11"),
        ({"python3.11": MISSING, "python3.12": MISSING, "python3.13": "3, 13", "python3": "3, 14"}, [], "python3.13"),
        ({"python3.11": MISSING, "python3": "3, 12"}, [], "python3"),
        ({"python3.11": "3, 11", "mine": "3, 15"}, ["PYTHON=mine"], "mine"),
    ],
)
def test_the_first_that_runs_is_taken(pythons: dict[str, str], words: list[str], expected: str, tmp_path: Path) -> None:
    assert f"\n{expected} -m venv .venv\n" in make(tmp_path, pythons, "-n", *words).stdout


@pytest.mark.parametrize(
    "pythons, words, named",
    [
        ({}, [], "python3.11"),
        ({"python3.11": MISSING, "python3": "3, 10"}, [], "python3.11"),
        ({"python3.13": MISSING, "python3": "3, 14"}, [], "python3.11"),
        ({"python3.11": "3, 11"}, ["PYTHON=mine"], "mine"),
    ],
)
def test_without_one_a_line_says_what_to_do(
    pythons: dict[str, str], words: list[str], named: str, tmp_path: Path
) -> None:
    done = make(tmp_path, pythons, *words)
    assert (done.returncode, done.stdout) == (2, f"{named} {HINT}")
