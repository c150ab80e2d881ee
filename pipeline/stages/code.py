"""List the code of every stage, with a hash of each file: what a stage depends on in place of the files.

Writes code/stages/<stage>.txt, code/objectives/<objective>.txt and code/decoding/<decoder>.txt: for each module of this
package that the stage's (objective's, decoder's) module imports, directly or not, and for the YAML file beside it, the
MD5 of its code and its path. A stage that depends on such a list runs again when any of this changes. Comments and
docstrings do not count, nor does what it does not import.
"""

import hashlib
from functools import cache
from pathlib import Path

from pipeline.config.base import parse
from pipeline.config.source import PACKAGE, code, imported_files
from pipeline.files import new_folder, write_text

OUTPUT = Path("code")


def main() -> None:
    with new_folder(OUTPUT) as scratch:
        for path, text in listings().items():
            write_text(scratch / path, text)


def listings() -> dict[Path, str]:
    """The content of every list, by its path in OUTPUT."""
    hashed = cache(code_hash)
    stages = Path(PACKAGE, "stages")
    files = {file: sorted(imported_files(file, stages / "__main__.py")) for file in sorted(stages.glob("[!_]*.py"))}
    for folder in ("objectives", "decoding"):  # a row's parameters name its objective, and a system's its decoder
        methods = [path for path in Path(PACKAGE, folder).glob("*.py") if "class Options" in path.read_text("utf-8")]
        files |= {entry: sorted(imported_files(entry)) for entry in sorted(methods)}
    return {
        entry.relative_to(PACKAGE).with_suffix(".txt"): "".join(
            f"{digest}  {part.as_posix()}\n"
            for file in some
            for part in (file, file.with_suffix(".yaml"))
            if (digest := hashed(part))
        )
        for entry, some in files.items()
    }


def code_hash(path: Path) -> str:
    """The MD5 of the code of a module, or of what a YAML file holds; empty if it holds none or is not there."""
    text = code(path) if path.suffix == ".py" else repr(parse(path)) if path.is_file() else ""
    return text and hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
