"""The code that a stage depends on: which files, and what of their text."""

import io
import os
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_project import REPOSITORY

from pipeline.config.source import code, imported_files
from pipeline.errors import InputError
from pipeline.stages.code import code_hash, listings

FILES = sorted((REPOSITORY / "pipeline").rglob("*.py"))
LONG = [path for path in FILES if path.stat().st_size > 500 and path.name != "__init__.py"]


@pytest.fixture(autouse=True)
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("stage", ["download", "evaluate_paraphrase", "report", "train_paraphrase"])
def test_the_lists_name_the_files_that_python_imports(stage: str) -> None:
    show = "print(*(module.__file__ for name, module in sys.modules.items() if name.startswith('pipeline')), sep='\\n')"
    script = f"import sys, pipeline.stages.__main__, pipeline.stages.{stage}; {show}"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    files = {Path(line) for line in run.stdout.splitlines() if line != "None"}
    expected = {file.relative_to(REPOSITORY).as_posix() for file in files if code(file)}
    listed = {line.split("  ")[1] for line in listings()[Path(f"stages/{stage}.txt")].splitlines()}
    assert len(expected) > 5 and expected <= listed, sorted(expected - listed)


def test_a_list_tells_where_the_code_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "__init__": '"""A package."""',
        "stages/__init__": "x = 1",
        "stages/__main__": "from pipeline import errors",
        "errors": "x = 1",
        "stages/train": "import importlib\ndef late():\n    from pipeline.shared import helper",
        "objectives/new": "import pipeline.shared.helper as h\nclass Options: ...",
        "decoding/also_new": "class Options: ...",
        "decoding/shared": "x = 1",
        "shared/helper": "from pipeline.shared import deeper",
        "shared/deeper": "x = 1",
        "shared/other": "x = 1",
    }.items():
        file = tmp_path / "pipeline" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    before = listings()
    names = {str(path): [line.split("  ")[1] for line in text.splitlines()] for path, text in before.items()}
    helpers = ["pipeline/shared/deeper.py", "pipeline/shared/helper.py"]
    assert names == {
        "stages/train.txt": [
            "pipeline/errors.py",
            *helpers,
            *(f"pipeline/stages/{name}.py" for name in ("__init__", "__main__", "train")),
        ],
        "objectives/new.txt": ["pipeline/objectives/new.py", *helpers],
        "decoding/also_new.txt": ["pipeline/decoding/also_new.py"],
    }
    Path("pipeline/shared/other.py").write_text("x = 2")
    Path("pipeline/shared/deeper.py").write_text("# one\n\nx = 1  # still\n")
    assert listings() == before
    Path("pipeline/shared/deeper.py").write_text("x = 2")
    after = listings()
    changed = [line for path in before for line in set(after[path].splitlines()) - set(before[path].splitlines())]
    assert [line.split("  ")[1] for line in changed] == ["pipeline/shared/deeper.py"] * 2
    Path("pipeline/shared/deeper.py").write_text("x = (")
    with pytest.raises(InputError, match="pipeline/shared/deeper.py: not valid Python"):
        imported_files(Path("pipeline/stages/train.py"))


def test_no_code_reads_docstrings() -> None:
    # Else a result could change with one, and no stage would run again.
    for path in FILES:
        text = path.read_text()
        assert "__doc__" not in text and "getdoc" not in text and "attribute_docstrings" not in text, path


SOURCE = '''"""A module,

of two lines."""
import os  # the system


def speak(loud: bool) -> str:
    """Say it."""
    text = """first  # no comment

    """  # one
    if loud:
        "a note"
        return (text
                + "#")  # the end
    return text
'''
SAME = """import os
def speak(loud: bool) -> str:
  text = ("first  # no comment\\n"
          "\\n    ")
  if loud: return text + '#'
  return text
"""


def written(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    return code(file)


def test_comments_docstrings_and_layout_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    assert written(file, SOURCE) == written(file, SAME)
    for empty in ("", "\n\n", "# nothing", '"""Nothing."""\n'):
        assert written(file, empty) == code_hash(file) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [("loud:", "quiet:"), ('"#"', '"%"'), ("+", "-"), ("return text\n", "return None\n"), ("bool", "int"),
     ("first  #", "first #"), ("import os", "import sys"), ("    if loud:", "    while loud:")],
)  # fmt: skip
def test_every_word_counts(tmp_path: Path, old: str, new: str) -> None:
    assert old in SOURCE
    assert written(tmp_path / "a.py", SOURCE) != written(tmp_path / "a.py", SOURCE.replace(old, new))


def test_line_ends_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    for path in FILES[:20]:
        file.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        assert code(file) == code(path), path


# Since Python 3.12 an f-string is many tokens, with line ends and statements of their own between them.
F_STRINGS = '''
text = f"""a

  {1 +

    2:>{3

  }} {{b}} {f"c{f'{4}'}"}

"""
def f(x):
    rf"""runs {x

    }"""
    F"{x}"
    "a note" f"{x}"
    return f"{x}" "b" \\
        f"""
    """  # one
f"""
"""
'''
SHOW = """
import sys
from pathlib import Path
from pipeline.config.source import code
for line in sys.stdin.read().splitlines():
    print(code(Path(line)).encode())
"""


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_it_is_the_same_on_every_python(version: str, tmp_path: Path) -> None:
    python = other_python(version)
    file = tmp_path / "a.py"
    file.write_text(F_STRINGS)
    names = "\n".join(map(str, [file, *FILES]))
    here, there = (
        subprocess.run([name, "-c", SHOW], input=names, capture_output=True, text=True, check=True).stdout.splitlines()
        for name in (sys.executable, python)
    )
    assert len(here) == len(FILES) + 1
    assert [path for path, *texts in zip([file, *FILES], here, there, strict=True) if len(set(texts)) > 1] == []


def other_python(version: str) -> str:
    """One on PATH or installed beside this one, if it runs."""
    beside = map(str, Path(sys.base_prefix).parent.glob(f"{version}*/bin"))
    for folder in [*os.environ["PATH"].split(os.pathsep), *beside]:
        found = shutil.which(f"python{version}", path=folder)
        if found and subprocess.run([found, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0:
            return found
    pytest.skip(f"no Python {version} is installed here")


def test_an_f_string_is_no_docstring(tmp_path: Path) -> None:
    for text in ('f"{run()}"', 'def f():\n    Rf"""{run()}"""', 'fR"{run()}"'):
        assert "run" in written(tmp_path / "a.py", text)


@settings(deadline=None)
@given(st.data())
def test_notes_do_not_change_it(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(LONG))
    text, file = path.read_text(), tmp_path_factory.mktemp("edited") / "a.py"
    rows = text.split("\n")
    found = tokenize.generate_tokens(io.StringIO(text).readline)
    ends = [token.start[0] - 1 for token in found if token.type == tokenize.NEWLINE and token.string]
    note = data.draw(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])))
    for end in data.draw(st.lists(st.sampled_from(ends), min_size=1)):
        rows[end] += data.draw(st.sampled_from(["  ", f"  # {note}", f"\n\n    # {note}\n"]))
    assert written(file, "\n".join(rows)) == code(path)
