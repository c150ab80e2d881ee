"""What code a module runs: the files of this package that it imports, and the text of each that can change a result."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import InputError

PACKAGE = "pipeline"
LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
END = (tokenize.NEWLINE, tokenize.ENDMARKER)
F_STRING = re.compile("r?f", re.IGNORECASE)  # runs code, even as a statement of its own


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
            queue.extend(file for module in imported_modules(path) if (file := module_file(module)))
    return found


def imported_modules(path: Path) -> Iterator[str]:
    """Names of the modules that a file may import."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_file(module: str) -> Path | None:
    """The file of a module of this package; None for other packages and for names inside a module."""
    path = Path(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if path.parts[0] == PACKAGE and file.is_file()), None)


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid Python ({error})") from None


def code(path: Path) -> str:
    """The text of a file without comments, docstrings, blank lines and spaces at the ends of lines.

    Cut out of the text, not printed from its syntax tree: that would look different in every version of Python.
    """
    lines = path.read_text(encoding="utf-8").split("\n")  # as Python does, with LF for every line end, even in strings
    tokens = list(tokenize.generate_tokens(iter([f"{line}\n" for line in lines]).__next__))
    for token in tokens:
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    inside: set[int] = set()  # lines that end within a string, where spaces and blank lines mean something
    begun: list[int] = []  # first lines of open f-strings: one token until Python 3.11, since then one for each part
    tokens = [token for token in tokens if token.type not in LAYOUT]
    starts = [True, *(token.type == tokenize.NEWLINE for token in tokens)]
    for starts_line, token, following in zip(starts, tokens, tokens[1:], strict=False):
        first, last = token.start[0] - 1, token.end[0] - 1
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":
            begun.append(first)
        elif kind == "FSTRING_END":
            inside.update(range(begun.pop(), last))
        elif starts_line and kind == "STRING" and following.type in END and not F_STRING.match(token.string):
            lines[first : last + 1] = [""] * (last + 1 - first)  # a statement of its own
        else:
            inside.update(range(first, last))
    kept = ((line if row in inside else line.rstrip()) for row, line in enumerate(lines))
    return "\n".join(line for row, line in enumerate(kept) if line or row in inside)
