"""What code a module runs: the files of this package that it imports, and what of each can change a result."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import InputError

PACKAGE = "pipeline"


def imported_files(*entries: Path) -> set[Path]:
    """The files of this package that run when `entries` do, directly or not, themselves included.

    Imports inside functions count. Modules whose names are put together at run time are not seen.
    """
    found: set[Path] = set()
    queue = [*entries]
    while queue:
        path = queue.pop()
        if path not in found:
            found.add(path)
            # Importing a module runs the __init__.py of the folders above it, too.
            queue.extend(init for folder in path.parents if (init := folder / "__init__.py").is_file())
            for name in _imported_names(path):
                module = Path(*name.split("."))
                if module.parts[0] == PACKAGE:
                    queue.extend(filter(Path.is_file, (module.with_suffix(".py"), module / "__init__.py")))
    return found


def _imported_names(path: Path) -> Iterator[str]:
    """Names of the modules that a file may import, and of what is in them."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid Python ({error})") from None


def code(path: Path) -> str:
    """What Python runs of a file: its syntax tree as text, without comments, docstrings and layout; "" if nothing.

    The same text in all versions of Python, which `ast.dump` is not: fields that are empty are left out.
    """
    body = _tree(parsed(path).body)
    return repr(body) if body else ""


def _tree(node: Any) -> Any:  # noqa: ANN401 - a node, a list of nodes, or a constant
    if isinstance(node, list):
        return [_tree(item) for item in node if not _is_docstring(item)]
    if not isinstance(node, ast.AST):
        return None if node is None else repr(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some with a constant of no characters
        node.values = [value for value in node.values if not (isinstance(value, ast.Constant) and value.value == "")]
    fields = {name: _tree(value) for name, value in ast.iter_fields(node)}
    return type(node).__name__, {name: value for name, value in fields.items() if value not in (None, [])}


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
