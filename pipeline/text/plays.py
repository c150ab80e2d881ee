"""Plain text for language-model pre-training, cut at blank lines into documents of about `LINES` lines."""

from pathlib import Path

from pipeline.errors import InputError
from pipeline.text.normalise import clean_line
from pipeline.text.table import read_lines

LINES = 80


def read_plays(path: Path) -> list[str]:
    """Documents with their line structure and indentation; trailing space and blank lines at their ends are removed."""
    documents: list[str] = []
    lines: list[str] = []
    for line in map(clean_line, read_lines(path)):
        # A text without any blank line is cut as well: one huge document would not be split later.
        if (not line and len(lines) >= LINES) or len(lines) >= 10 * LINES:
            documents.append("\n".join(lines).strip("\n"))
            lines = []
        lines.append(line)
    documents.append("\n".join(lines).strip("\n"))
    documents = [document for document in documents if document]
    if not documents:
        raise InputError(f"{path}: the file is empty; expected text, or leave the file out")
    return documents
