"""The shape of pipeline/, from its syntax trees: who imports whom, how much there is, and how it is started."""

import ast
import re
import statistics
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pipeline.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
# A part imports what stands before it, never what stands behind it.
ORDER = (
    "errors", "files", "config", "text", "evaluation", "compute", "models", "objectives", "decoding", "training",
    "augment", "report", "stages", "commands", "checks", "parallel", "__main__",
)  # fmt: skip
ENTRY_POINTS = {"pipeline", "pipeline.stages", "pipeline.parallel", "pipeline.checks"}
SUFFIXES = ("s", "es", "_test", "_tests", "_old", "_new", "2")

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "pipeline").rglob("*.py"))
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}
LINES = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in FILES.items()}


def imports() -> dict[str, set[str]]:
    """The modules of pipeline/ that each module imports, anywhere in its file."""
    found = defaultdict(set)
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
            else:
                continue
            found[module] |= {name for name in names if name in FILES and "." in name}
    return found


def part(module: str) -> str:
    """The folder of a module in pipeline/, or its own name."""
    return module.split(".")[1] if "." in module else "__init__"


def test_imports_run_downwards() -> None:
    place = defaultdict(lambda: len(ORDER), {name: number for number, name in enumerate(ORDER)})
    pairs = [(module, name) for module, names in imports().items() for name in sorted(names)]
    assert [pair for pair in pairs if place[part(pair[0])] < place[part(pair[1])]] == []
    assert {part(module) for module in FILES} - {"__init__", *ORDER} == set()


def test_there_is_no_circle() -> None:
    circle = []
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle == []


def test_the_house_is_small() -> None:
    at_the_top = sorted(path.name for path in (ROOT / "pipeline").glob("*.py"))
    assert len(at_the_top) <= 5, at_the_top
    assert len(FILES) <= 145
    assert sum(LINES.values()) <= 13_000
    assert statistics.median(LINES.values()) >= 70


def test_no_function_is_long() -> None:
    lengths = {
        f"{module}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > 45} == {}


def test_no_two_files_have_almost_the_same_name() -> None:
    names = {path.stem for path in FILES.values()}
    assert sorted((name, name + suffix) for name in names for suffix in SUFFIXES if name + suffix in names) == []


def test_there_are_four_ways_in() -> None:
    runnable = {
        module for module, path in FILES.items() if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    runnable.remove("pipeline.stages._warm")  # stages start it, not users
    assert {module.removesuffix(".__main__") for module in runnable} == ENTRY_POINTS


def test_whatever_names_a_way_in_names_one_of_the_four() -> None:
    files = [ROOT / name for name in ("README.md", "Makefile", "dvc.yaml", ".ci/run", ".github/workflows/ci.yml")]
    for folder, kinds in (("pipeline", "py"), ("docs", "md"), ("examples", "sbatch")):
        files += sorted((ROOT / folder).rglob(f"*.{kinds}"))
    named = {
        (str(path.relative_to(ROOT)), name)
        for path in files
        for name in re.findall(r'-m"?,? "?(pipeline[\w.]*\w)', path.read_text(encoding="utf-8"))
    }
    assert {(path, name) for path, name in named if name not in ENTRY_POINTS} == set()


def test_every_command_has_its_module() -> None:
    commands = {module for module in FILES if module.startswith("pipeline.commands.")}
    for name in COMMANDS:
        functions = {node.name for node in TREES[f"pipeline.commands.{name}"].body if isinstance(node, ast.FunctionDef)}
        assert "run" in functions, name
        commands.remove(f"pipeline.commands.{name}")
    assert all(not any(getattr(node, "name", "") == "run" for node in TREES[other].body) for other in commands)
