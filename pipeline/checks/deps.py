"""Does every stage of dvc.yaml depend on all the code it imports?

    python -m pipeline.checks.deps

A stage whose dependencies miss a module is not re-run when that module changes: its cached results are silently stale.
Exit codes: 0 all covered, 1 findings (one line each), 2 dvc.yaml cannot be read.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML, YAMLError

COMMAND = re.compile(r"python -m (pipeline[\w.]*)")


def main() -> int:
    """Print what is missing."""
    try:
        stages = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]
    except (OSError, YAMLError, KeyError, TypeError) as error:
        print(f"dvc.yaml: cannot be read: {error}", file=sys.stderr)
        return 2
    findings = [f"dvc.yaml: {name}: {path} is missing in deps" for name, path in missing(stages)]
    print("\n".join(findings) or f"{len(stages)} stages depend on all the code they import")
    return 1 if findings else 0


def missing(stages: dict[str, dict]) -> Iterator[tuple[str, Path]]:
    """Stage and file for every imported file that is not covered by the stage's deps."""
    for name, stage in stages.items():
        stage = stage.get("do", stage)
        command = COMMAND.search(str(stage["cmd"]))
        if command is None:
            continue
        deps = [Path(dep) for dep in stage.get("deps", []) if isinstance(dep, str)]
        for path in sorted(imported_files([module_file(command[1]), *named_by_parameters(deps)])):
            if not any(covers(dep, path) for dep in deps):
                yield name, path


def covers(dep: Path, path: Path) -> bool:
    """Whether a dependency is the file, a folder above it, or a template that may stand for it."""
    return (
        dep == path
        or dep in path.parents
        or ("${" in dep.name and (dep.parent, dep.suffix) == (path.parent, path.suffix))
    )


def named_by_parameters(deps: list[Path]) -> list[Path]:
    """Every file that a dependency such as pipeline/objectives/${item.objective}.py may stand for, if it has a row."""
    templates = [dep for dep in deps if "${" in dep.name and dep.suffix == ".py"]
    return [file for dep in templates for file in sorted(dep.parent.glob("*.py"))]


def imported_files(entries: list[Path | None]) -> set[Path]:
    """The files of this package that `entries` import, directly or not, themselves included.

    The __init__ files hold a docstring only (checked by a test) and are left out.
    """
    found: set[Path] = set()
    queue = list(entries)
    while queue:
        path = queue.pop()
        if path is not None and path not in found and path.name != "__init__.py":
            found.add(path)
            queue.extend(module_file(module) for module in imported_modules(path))
    return found


def imported_modules(path: Path) -> Iterator[str]:
    """Names of the modules that a file may import, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_file(module: str) -> Path | None:
    """The file of a module of this package; None for other packages and for names inside a module."""
    path = Path(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py", path / "__main__.py")
    return next((file for file in candidates if module.split(".")[0] == "pipeline" and file.is_file()), None)


if __name__ == "__main__":
    raise SystemExit(main())
