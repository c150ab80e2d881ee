"""Small readers and writers of files that are either complete or absent.

Everything is first written beside its destination and then renamed: a killed run never leaves half a file under a final
name. Text is UTF-8 with LF line ends, on every platform, so that hashes agree.
"""

import contextlib
import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from pipeline.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in a failure to write it: an OSError for a full disk has no name, torch and safetensors hide it."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except (RuntimeError, SafetensorError) as error:
        existing = next(parent for parent in (path, *path.resolve().parents) if parent.exists())
        if shutil.disk_usage(existing).free < 4 * 2**20:  # bytes: so little left is what stopped a large write
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        with naming(path), open(scratch, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty scratch folder that becomes `path` (replacing it) when the block ends without an error."""
    scratch = path.with_name(f".{path.name}.tmp")  # a fixed name: what a killed run left behind is deleted here
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with naming(path):
            yield scratch
        shutil.rmtree(path, ignore_errors=True)
        os.replace(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """JSON in the given key order, indented, floats rounded to 6 decimals; NaN and infinity are refused."""
    write_text(path, json.dumps(_rounded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is any
    return _parsed(path.read_bytes(), str(path))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line, in the given key order."""
    write_text(path, "".join(json.dumps(_rounded(dict(row)), ensure_ascii=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file."""
    return [_parsed(line, f"{path}:{number}") for number, line in enumerate(path.read_bytes().split(b"\n"), 1) if line]


def _parsed(text: bytes, where: str) -> Any:  # noqa: ANN401 - JSON is any
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON ({error}); delete it and run `dvc repro`") from None


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> None:
    """A table with a header; None becomes an empty field, floats keep 6 decimals."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    cells = ([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    writer.writerows([columns, *cells])
    write_text(path, buffer.getvalue())


def write_frame(path: Path, frame: "pd.DataFrame") -> None:
    """The columns of a data frame, as `write_csv` would write them."""
    write_text(path, frame.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def read_frame(path: Path, columns: Sequence[str], **options: Any) -> "pd.DataFrame":  # noqa: ANN401 - pandas'
    """A table with at least these columns as a data frame; `options` are those of `pandas.read_csv`."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, **options)
    except ValueError as error:  # pandas' own errors are among them
        raise InputError(f"{path}: not a table ({error}); delete it and run `dvc repro`") from None
    if missing := [name for name in columns if name not in frame]:
        raise InputError(f"{path}: column {', '.join(missing)} is missing; delete it and run `dvc repro`")
    return frame


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table written by `write_csv`; missing columns are an InputError that names them."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in columns if name not in (reader.fieldnames or [])]:
            raise InputError(f"{path}: column {', '.join(missing)} is missing; delete it and run `dvc repro`")
        return list(reader)


def _rounded(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value
