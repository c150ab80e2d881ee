"""Film sentences in five classes (ids-sst-*.csv), long reviews in two (ids-cfimdb-*.csv): `python -m data.generator`.

Short sentences are graded clauses: a contrast ("A , but B") counts B fully and A by half, two clauses of one sign count
as the stronger one. Long reviews hold more remarks of their own class than of the other, and come in twins: the same
review once for and once against the film, with some of the remarks turned round.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from data.generator.banks import sections

GRADES = (-2, -1, 0, 1, 2)
GRADE_SHARES = {-2: 0.13, -1: 0.25, 0: 0.19, 1: 0.27, 2: 0.16}
WORDS = (60, 150)


@dataclass(frozen=True)
class Review:
    """One text and its class."""

    text: str
    label: int


def contrast(first: int, second: int) -> int:
    """The grade of "first , but second" for grades of opposite sign."""
    total = second + first / 2
    return int(total + 0.5) if total >= 0 else -int(0.5 - total)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _sides(line: str) -> tuple[str, str]:
    good, bad = (side.strip() for side in line.split("|"))
    return bad, good


def _clause(bank: dict[str, list[str]], grade: int, rng: random.Random, subject: str) -> str:
    pairs = [_sides(line) for line in rng.sample(bank["adjectives"], 2)]
    (bad, good), (bad2, good2) = pairs
    predicate = rng.choice(bank[f"{grade:+d}" if grade else "0"])
    return f"{subject} {predicate.format(p=good, n=bad, p2=good2, n2=bad2)}"


def _short(bank: dict[str, list[str]], grade: int, rng: random.Random) -> str:
    """A sentence of this grade: a hand-written one, one clause, or two clauses joined."""
    shape = rng.random()
    if shape < 0.14:
        return rng.choice(bank[f"whole {grade:+d}" if grade else "whole 0"])
    one, two = rng.sample(bank["subject"], 2)
    if rng.random() < 0.3:
        one = rng.choice(bank["film"])
    if shape < 0.54:
        start = rng.choice(bank["opening"]) + " " if rng.random() < 0.3 else ""
        return _sentence(f"{start}{_clause(bank, grade, rng, one)} .")
    mixed = [(a, b) for a in GRADES for b in GRADES if a * b < 0 and contrast(a, b) == grade]
    if mixed and shape < 0.76:
        a, b = rng.choice(mixed)
        joint = rng.choice([", but", ", yet", "; still ,"])
        return _sentence(f"{_clause(bank, a, rng, one)} {joint} {_clause(bank, b, rng, two)} .")
    weaker = grade // abs(grade) if grade else 0  # a strong clause outweighs a mild one of its sign
    grades = [grade, weaker]
    rng.shuffle(grades)
    return _sentence(f"{_clause(bank, grades[0], rng, one)} and {_clause(bank, grades[1], rng, two)} .")


def make_short(sizes: dict[str, int], seed: int) -> dict[str, list[Review]]:
    """Splits of distinct sentences in the class mix of GRADE_SHARES."""
    rng = random.Random(seed)
    bank = sections("sst.txt")
    seen: set[str] = set()
    splits: dict[str, list[Review]] = {}
    for name, size in sizes.items():
        counts = {grade: round(size * share) for grade, share in GRADE_SHARES.items()}
        counts[1] += size - sum(counts.values())
        rows: list[Review] = []
        for grade, count in counts.items():
            while count:
                text = _short(bank, grade, rng)
                if text not in seen:
                    seen.add(text)
                    rows.append(Review(text, grade + 2))
                    count -= 1
        rng.shuffle(rows)
        splits[name] = rows
    return splits


def _joined(start: str, sentence: str) -> str:
    if not start:
        return sentence
    return f"{start} {sentence}" if sentence.startswith("I ") else f"{start} {sentence[0].lower()}{sentence[1:]}"


def _twins(bank: dict[str, list[str]], rng: random.Random) -> tuple[Review, Review]:
    """The same review for and against: plot the same, most remarks turned round, one or two to the contrary."""
    genre, year = rng.choice(bank["genre"]), str(rng.randrange(1931, 2004))
    own, against = 4, 1 + (rng.random() < 0.5)
    remarks = [_sides(line) for line in rng.sample(bank["aspect"], own + against)]
    plot = rng.sample(bank["plot"], 2 + rng.randrange(2))
    opener = _sides(rng.choice(bank["opener"])) if rng.random() < 0.2 else None
    verdict = _sides(rng.choice(bank["verdict"])) if rng.random() < 0.2 else None
    order = list(range(own + against))
    rng.shuffle(order)
    spots = {spot: rng.choice(bank["concession"]) for spot in order[:1] if spot >= own}
    texts: list[str] = []
    for label in (0, 1):
        sentences = [opener[label] if opener else "I saw this {g} from {y} by chance .", *plot]
        for spot in order:
            side = label if spot < own else 1 - label
            sentences.append(_joined(spots.get(spot, ""), remarks[spot][side]))
        if verdict:
            sentences.append(verdict[label])
        texts.append(" ".join(sentences).format(g=genre, y=year))
    return Review(texts[0], 0), Review(texts[1], 1)


def make_long(sizes: dict[str, int], seed: int) -> dict[str, list[Review]]:
    """Splits of reviews of 60 to 150 words; the two twins of a review stay in one split."""
    rng = random.Random(seed)
    bank = sections("reviews.txt")
    seen: set[str] = set()
    splits: dict[str, list[Review]] = {}
    for name, size in sizes.items():
        rows: list[Review] = []
        while len(rows) < size:
            twins = _twins(bank, rng)
            if all(WORDS[0] <= len(twin.text.split()) <= WORDS[1] and twin.text not in seen for twin in twins):
                seen.update(twin.text for twin in twins)
                rows += twins
        rows = rows[:size]
        rng.shuffle(rows)
        splits[name] = rows
    return splits
