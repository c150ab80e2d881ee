"""Put the entry of one stage into dvc.lock, as DVC would write it.

DVC parses and writes the whole file again after every stage, which takes longer than a small stage runs and leaves half
a file behind when it is killed. Here only the lines of the stage are replaced, and the file appears complete.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pipeline.files import write_text

HEAD = "schema: '2.0'\nstages:\n"
ENTRY = re.compile(r"^(?=  \S)", re.MULTILINE)  # an entry starts where the indentation is two


def write_entry(path: Path, name: str, entry: Mapping[str, Any], later: Collection[str]) -> bool:
    """Replace the entry of stage `name`, or insert it before those of `later`, else at the end.

    Returns False, and writes nothing, if the file is not as DVC writes it: then DVC has to do it.
    """
    from dvc.utils.serialize import dumps_yaml

    block = dumps_yaml({"stages": {name: dict(entry)}}).removeprefix("stages:\n")
    text = path.read_text(encoding="utf-8") if path.exists() else HEAD
    if not text.startswith(HEAD) or not plain(block) or not plain(text.removeprefix(HEAD)):
        return False
    blocks = [block for block in ENTRY.split(text.removeprefix(HEAD)) if block]
    titles = [title(block) for block in blocks]
    if title(block) in titles:
        blocks[titles.index(title(block))] = block
    else:
        wanted = {f"  {stage}:" for stage in later}
        blocks.insert(next((i for i, known in enumerate(titles) if known in wanted), len(blocks)), block)
    write_text(path, HEAD + "".join(blocks))
    return True


def names(path: Path) -> set[str]:
    """The stages with an entry."""
    if not path.exists():
        return set()
    return {title(block).strip().removesuffix(":") for block in ENTRY.split(path.read_text(encoding="utf-8"))[1:]}


def remove_entries(path: Path, stages: Collection[str]) -> None:
    """Delete the entries of `stages`; whatever else is in the file stays as it is."""
    text = path.read_text(encoding="utf-8")
    blocks = ENTRY.split(text)  # the first one is what stands before all entries
    kept = [block for block in blocks if title(block).strip().removesuffix(":") not in stages]
    if len(kept) < len(blocks):
        write_text(path, "".join(kept))


def plain(blocks: str) -> bool:
    """Is this a sequence of entries with a title line each, without aliases, other keys and comments between them?"""
    unusual = re.search(r"^\S|^ {0,2}[#?]|: [&*]id\d|- [&*]id\d", blocks, re.MULTILINE)
    return not unusual and all(title(block).endswith(":") for block in ENTRY.split(blocks) if block)


def title(block: str) -> str:
    """The first line of an entry."""
    return block.split("\n", 1)[0]
