"""What is printed can be read on every terminal: characters that its encoding lacks are plain ones there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from course_files import write_course_folder
from small_project import REPOSITORY, write_project

ENTRY_POINTS = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__main__")
    for path in sorted((REPOSITORY / "pipeline").rglob("*.py"))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
}
PLAIN_ALREADY = {"data.generator", "pipeline.stages._warm"}  # print nothing
ECHO = "from pipeline.errors import stage_main; stage_main(lambda words: print(*words))"
EVERY_ENTRY_POINT = """
import runpy, sys
for module in sys.argv[1:]:
    sys.__stdout__.reconfigure(errors="strict")
    sys.argv = [module, "--no-such-option"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit:
        print(module, "\\u2013")
"""
IN_A_FORK = """
import os, sys
from pipeline.errors import stage_main
reader, writer = os.pipe()
os.dup2(writer, 1)
stage_main(lambda _: print("\\u2013", flush=True))
print(os.read(reader, 9).decode(), end="", file=sys.stderr)
"""


def run(folder: Path, encoding: str, *words: str, code: int = 0) -> str:
    """What a command prints on a terminal of an encoding."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = done.stdout.decode(encoding)
    assert done.returncode == code, output
    return output


@pytest.mark.parametrize(
    "encoding, expected",
    [
        ("ascii", "cafe - -1.5 +/-2 'a' \"b\" ... fi ?? ?"),
        ("latin-1", "café - -1.5 ±2 'a' \"b\" ... fi ?? ?"),
        ("utf-8", "café – −1.5 ±2 ‘a’ “b” … ﬁ 日😀 ?"),
    ],
)
def test_a_character_that_is_missing_is_a_plain_one(encoding: str, expected: str, tmp_path: Path) -> None:
    text = "café – −1.5 ±2 ‘a’ “b” … ﬁ 日😀 \udce9"  # at the end, a byte of a file name that is no UTF-8
    assert run(tmp_path, encoding, "-c", ECHO, text) == f"{expected}\n"


def test_this_goes_for_every_entry_point(tmp_path: Path) -> None:
    modules = sorted(ENTRY_POINTS - PLAIN_ALREADY)
    output = run(tmp_path, "ascii", "-c", EVERY_ENTRY_POINT, *modules)
    assert len(modules) >= 4 and [module for module in modules if f"\n{module} -\n" not in f"\n{output}"] == []


def test_a_path_of_the_user_is_printed_as_far_as_possible(tmp_path: Path) -> None:
    write_project(tmp_path)
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("path: course", "path: données"), encoding="utf-8")
    download = ("-m", "pipeline.stages", "download")
    assert run(tmp_path, "ascii", *download, code=1).startswith("error: data.path: donnees ")
    write_course_folder(tmp_path / "données")
    assert " files from donnees\n" in run(tmp_path, "ascii", *download)
    assert " files from données\n" in run(tmp_path, "latin-1", *download)


def test_standard_output_may_have_become_another_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
    with open(tmp_path / "output", "w") as file:
        command = [sys.executable, "-c", IN_A_FORK]
        done = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "-\n")


def test_what_a_failed_stage_printed_is_shown(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text("import sys\nprint('café – out')\nsys.exit('café – end')\n", encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text("stages: {one: {cmd: python stage.py, deps: [stage.py]}}\n")
    (tmp_path / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    run(tmp_path, "utf-8", "-m", "dvc", "init", "-q")
    for encoding, expected in (("ascii", "cafe -"), ("latin-1", "café -"), ("utf-8", "café –")):
        output = run(tmp_path, encoding, "-m", "pipeline.parallel", "--jobs", "1", code=1)
        assert f"    {expected} out\n    {expected} end\n" in output
        assert "café – out\n" in (tmp_path / ".dvc/tmp/jobs/one.log").read_text(encoding="utf-8")
