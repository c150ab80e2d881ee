"""News-like pairs (ETPC.xml) and adversarial paraphrases (ap-h-train.csv); used by `python -m data.generator`."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from data.generator.banks import blocks, sections

PER_FRAME = ("para",) * 6 + ("detail", "detail", "other", "other", "slot", "slot")
_SLOT = re.compile(r"\{(\w+)\}")
_NEGATION = re.compile(r"\b(not|no|nobody|none|nothing|never|failed)\b")


@dataclass(frozen=True)
class NewsPair:
    """Two reports: `strict` is the ETPC label (all facts the same), `loose` the MRPC label (details may differ)."""

    first: str
    second: str
    strict: int
    loose: int

    @property
    def negation(self) -> int:
        """1 if either report holds a negation."""
        return int(any(_NEGATION.search(text.lower()) for text in (self.first, self.second)))


def _values(bank: dict[str, list[str]], rng: random.Random) -> dict[str, str]:
    """Fillers for every slot; slots of one kind differ from each other."""
    values: dict[str, str] = {}
    for kind in ("co", "city", "p"):
        values[kind], values[f"{kind}2"] = rng.sample(bank[kind], 2)
    values["day"] = rng.choice(bank["day"])
    values |= {"n": str(rng.randrange(11, 40)), "m": str(rng.randrange(50, 400))}
    return values | {"j": str(rng.randrange(6, 15)), "k": str(rng.randrange(2, 6))}


def _fill(text: str, values: dict[str, str]) -> str:
    return text.format(**values)


def _one(frame: list[tuple[str, str]], kind: str, bank: dict[str, list[str]], rng: random.Random) -> NewsPair:
    values = _values(bank, rng)
    same = [text for mark, text in frame if mark == "="]
    first, second = rng.sample(same, 2)
    changed = values
    if kind == "detail":
        second = next(text for mark, text in frame if mark == "+")
    elif kind == "other":
        first, second = same[0], next(text for mark, text in frame if mark == "!")
    elif kind == "slot":
        slot = rng.choice(sorted(set(_SLOT.findall(first)) & set(_SLOT.findall(second))))
        fresh = values
        while fresh[slot] in (values[slot], values.get(f"{slot}2"), values.get(slot.removesuffix("2"))):
            fresh = _values(bank, rng)
        changed = values | {slot: fresh[slot]}
    texts = [_fill(first, values), _fill(second, changed)]
    rng.shuffle(texts)
    return NewsPair(texts[0], texts[1], int(kind == "para"), int(kind in {"para", "detail"}))


def make_news(seed: int) -> list[NewsPair]:
    """Twelve pairs of each frame: half say the same, the others differ in a detail, a fact or the outcome."""
    rng = random.Random(seed)
    bank = sections("news_slots.txt")
    pairs = [_one(frame, kind, bank, rng) for frame in blocks("news.txt") for kind in PER_FRAME]
    rng.shuffle(pairs)
    return pairs


def make_adversarial() -> list[tuple[str, str, int]]:
    """The hand-written groups in order, then the rows without a second sentence."""
    rows: list[tuple[str, str, int]] = []
    for group in blocks("adversarial.txt"):
        base = group[0][1]
        if group[0][0] == "0":
            rows += [(text, "", 0) for _, text in group]
            continue
        rows += [(base, text, int(mark == "=")) for mark, text in group[1:]]
        same = [text for mark, text in group if mark == "="]
        rows.append((same[0], same[1], 1))
    return rows
