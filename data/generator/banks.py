"""Reads the hand-written text banks in `data/generator/bank/`; used by `python -m data.generator`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BANK = Path(__file__).parent / "bank"
_HEAD = re.compile(r"^\[([^\]]+)\](.*)$")


@dataclass(frozen=True)
class Intent:
    """One thing to ask: its phrasings all mean the same once the slots are filled."""

    name: str
    topic: str
    kind: str  # plain (slot t), directed (slots a b, order matters) or symmetric (slots a b, order does not matter)
    number: str | None
    opposite: str | None
    phrasings: tuple[str, ...]
    family: str | None = None  # core intents: the family of look-alikes it belongs to


def sections(file_name: str) -> dict[str, list[str]]:
    """The lines of a bank by their head (the name and what follows it), comments and blank lines left out."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for raw in (BANK / file_name).read_text(encoding="utf-8").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        head = _HEAD.match(line)
        if head:
            name = (head[1] + head[2]).strip()
            if name in found:
                raise ValueError(f"{file_name}: section [{name}] twice")
            current = found[name] = []
        else:
            current.append(line)
    return found


def blocks(file_name: str) -> list[list[tuple[str, str]]]:
    """The blocks (parted by blank lines) of a bank whose lines are "MARK text"."""
    found: list[list[tuple[str, str]]] = []
    for block in (BANK / file_name).read_text(encoding="utf-8").split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if lines:
            found.append([(mark, text) for mark, text in (line.split(" ", 1) for line in lines)])
    return found


def load_topics() -> dict[str, list[tuple[str, ...]]]:
    """Topic lists: each topic is the tuple of its exactly synonymous names."""
    return {
        head: [tuple(name.strip() for name in line.split("|")) for line in lines]
        for head, lines in sections("topics.txt").items()
    }


def load_intents() -> dict[str, Intent]:
    """Intents by name, in the order of the bank."""
    intents: dict[str, Intent] = {}
    for head, lines in sections("questions.txt").items():
        name, *pairs = head.split()
        options = dict(pair.split("=", 1) for pair in pairs)
        intents[name] = Intent(
            name,
            options["topic"],
            options["kind"],
            options.get("number"),
            options.get("opposite"),
            tuple(lines),
            options.get("family"),
        )
    for intent in intents.values():
        if intent.opposite and len(intents[intent.opposite].phrasings) != len(intent.phrasings):
            raise ValueError(f"[{intent.name}] and its opposite must run parallel")
    return intents


def load_sonnets() -> list[list[str]]:
    """The poems in order; the couplet keeps its indent."""
    text = (BANK / "sonnets.txt").read_text(encoding="utf-8")
    parts = re.split(r"^\d+$", text, flags=re.MULTILINE)[1:]
    return [part.strip("\n").splitlines() for part in parts]
