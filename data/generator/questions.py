"""Question pairs whose labels are right by construction (quora-*.csv); used by `python -m data.generator`.

A question is an intent, its topics and number (the meaning) and a phrasing. Two questions are duplicates exactly when
their meanings are the same.

Most pairs come from a core of few intents in families of two, a frequent one and a rarer one, so that a small model
meets every combination of phrasings often enough to learn it. The frequent intent is a little more common in
duplicates; one question alone still says next to nothing about the label. The topics of the core are parted into
groups and no pair crosses them, so that a split grouped by question can hold out whole groups of core pairs.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

from data.generator.banks import Intent, blocks, load_intents, load_topics

POSITIVE_SHARE = 0.4
CORE_SHARE = 0.88
CORE_GROUPS = 7
FREQUENT_IN_DUPLICATES = 0.85
ONEOFF_GROUPS = 12
NEW_NAME = 0.5
POSITIVE_KINDS = {"para": 0.6, "edit": 0.4}
CORE_POSITIVE_KINDS = {"para": 0.95, "edit": 0.05}
CORE_NEGATIVE_KINDS = {"easy": 0.08, "topic_para": 0.05, "family": 0.87}
NEGATIVE_KINDS = {
    "topic": 0.1,
    "topic_para": 0.1,
    "intent": 0.26,
    "opposite": 0.8,
    "opposite_para": 0.6,
    "number": 1.6,
    "number_para": 0.9,
    "swap": 6.0,
    "swap_para": 2.0,
    "easy": 0.4,
}
EDITS = (
    ("What is", "What's"),
    ("How do I", "How can I"),
    ("How can I", "How do I"),
    ("I am ", "I'm "),
    ("does not", "doesn't"),
    ("will not", "won't"),
    ("cannot", "can't"),
    ("Why do", "Tell me, why do"),
    ("Is it", "Would you say it is"),
    ("Which", "Please tell me: which"),
    ("What are the", "Can you name the"),
    ("Can I", "Am I able to"),
    ("Why is", "For what reason is"),
)


@dataclass(frozen=True)
class Question:
    """A meaning (intent, topics, number) and its surface."""

    intent: Intent
    topics: tuple[tuple[str, ...], ...]
    number: tuple[str, ...] | None
    phrasing: int

    def meaning(self) -> tuple[object, ...]:
        """Equal for two questions exactly when they ask the same thing."""
        topics = sorted(self.topics) if self.intent.kind == "symmetric" else list(self.topics)
        return (self.intent.name, tuple(topics), self.number)


@dataclass(frozen=True)
class Pair:
    """A labelled pair; `kind` tells how it was made and is not written to the files."""

    first: str
    second: str
    label: int
    kind: str


def say(question: Question, rng: random.Random, used: dict[tuple[str, ...], str]) -> str:
    """The question as text, each topic and number under one of its names, often the name `used` before."""

    def name(names: tuple[str, ...]) -> str:
        if names not in used or rng.random() < NEW_NAME:
            used[names] = rng.choice(names)
        return used[names]

    text = question.intent.phrasings[question.phrasing]
    slots = ("t",) if question.intent.kind == "plain" else ("a", "b")
    values = {slot: name(names) for slot, names in zip(slots, question.topics, strict=True)}
    if question.number:
        values["n"] = name(question.number)
    for slot, value in values.items():
        if value[0] in "aeioAEIO" or value in {"HTML", "MP3"}:
            text = re.sub(rf"\b([Aa]) \{{{slot}\}}", rf"\1n {{{slot}}}", text)
        text = text.replace(f"{{{slot}}}", value)
    return text[0].upper() + text[1:]


def edit(text: str, rng: random.Random) -> str:
    """The same question with one small change that leaves its meaning alone (or unchanged if none fits)."""
    fitting = [(old, new) for old, new in EDITS if old in text]
    if not fitting:
        return text
    old, new = rng.choice(fitting)
    return text.replace(old, new, 1)


class Drawer:
    """Draws questions and pairs from the banks."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.intents = load_intents()
        self.topics = load_topics()
        self.families: dict[str, list[Intent]] = {}
        for intent in self.intents.values():
            if intent.family:
                self.families.setdefault(intent.family, []).append(intent)

    def other(self, choices: list[tuple[str, ...]], without: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
        return self.rng.choice([choice for choice in choices if choice not in without])

    def question(self, intent: Intent, first: tuple[tuple[str, ...], ...] = ()) -> Question:
        """A random question of this intent that keeps the topics in `first` where it has room for them."""
        arity = 1 if intent.kind == "plain" else 2
        topics = first[:arity]
        while len(topics) < arity:
            topics = (*topics, self.other(self.topics[intent.topic], topics))
        if arity == 2 and self.rng.random() < 0.5:
            topics = topics[::-1]
        number = self.rng.choice(self.topics[intent.number]) if intent.number else None
        return Question(intent, topics, number, self.rng.randrange(len(intent.phrasings)))

    def rephrase(self, question: Question) -> Question:
        others = [i for i in range(len(question.intent.phrasings)) if i != question.phrasing]
        topics = question.topics
        if question.intent.kind == "symmetric" and self.rng.random() < 0.5:
            topics = topics[::-1]
        return replace(question, topics=topics, phrasing=self.rng.choice(others))

    def kinds(self, intent: Intent) -> dict[str, float]:
        """The kinds of negatives this intent allows, with their weights."""
        alone = sum(other.topic == intent.topic and not other.family for other in self.intents.values()) == 1
        absent = {
            "opposite": intent.opposite is None,
            "number": intent.number is None,
            "swap": intent.kind != "directed",
            "intent": alone,
        }
        return {kind: w for kind, w in NEGATIVE_KINDS.items() if not absent.get(kind.removesuffix("_para"), False)}

    def partner(self, anchor: Question, kind: str) -> Question:
        """A question that makes a pair of this kind with the anchor."""
        intent = anchor.intent
        base = kind.removesuffix("_para")
        if kind == "para":
            return self.rephrase(anchor)
        if kind == "edit":
            flip = intent.kind == "symmetric" and self.rng.random() < 0.7
            return replace(anchor, topics=anchor.topics[::-1]) if flip else anchor
        if base == "topic":
            place = self.rng.randrange(len(anchor.topics))
            topics = list(anchor.topics)
            topics[place] = self.other(self.topics[intent.topic], anchor.topics)
            made = replace(anchor, topics=tuple(topics))
        elif base == "opposite":
            made = replace(anchor, intent=self.intents[intent.opposite or ""])
        elif base == "number":
            made = replace(anchor, number=self.other(self.topics[intent.number or ""], (anchor.number or (),)))
        elif base == "swap":
            made = replace(anchor, topics=anchor.topics[::-1])
        else:
            same = base == "intent"
            others = (i for i in self.intents.values() if i != intent and not i.family)
            pool = [i for i in others if (i.topic == intent.topic) == same]
            return self.question(self.rng.choice(pool), anchor.topics if same else ())
        return self.rephrase(made) if kind.endswith("_para") else made

    def pair(self, intent: Intent, label: int) -> Pair:
        """One pair around a random anchor of this intent."""
        weights = POSITIVE_KINDS if label else self.kinds(intent)
        kind = self.rng.choices(list(weights), list(weights.values()))[0]
        anchor = self.question(intent)
        return self.spoken(anchor, self.partner(anchor, kind), label, kind)

    def core_pair(self, family: str, label: int) -> Pair:
        """One pair from a family: a duplicate of one of its intents, or the two intents about the same topic."""
        frequent, rare = self.families[family]
        weights = CORE_POSITIVE_KINDS if label else CORE_NEGATIVE_KINDS
        kind = self.rng.choices(list(weights), list(weights.values()))[0]
        share = FREQUENT_IN_DUPLICATES if label else 0.5
        group = self.rng.randrange(CORE_GROUPS)
        intent = frequent if self.rng.random() < share else rare
        anchor = self.question(intent, (self.rng.choice(self.core_topics(intent, group)),))
        if kind == "easy":
            other = self.rng.choice([name for name in self.families if name != family])
            intent = self.rng.choice(self.families[other])
            partner = self.question(intent, (self.rng.choice(self.core_topics(intent, group)),))
        elif kind == "topic_para":
            topic = self.other(self.core_topics(intent, group), anchor.topics)
            partner = self.rephrase(replace(anchor, topics=(topic,)))
        elif kind == "family":
            look_alike = rare if anchor.intent is frequent else frequent
            phrasing = self.rng.randrange(len(look_alike.phrasings))
            partner = replace(anchor, intent=look_alike, phrasing=phrasing)
        else:
            partner = self.partner(anchor, kind)
        return self.spoken(anchor, partner, label, kind)

    def core_topics(self, intent: Intent, group: int) -> list[tuple[str, ...]]:
        """The topics that a core intent may meet in one group."""
        return self.topics[intent.topic][group::CORE_GROUPS]

    def spoken(self, anchor: Question, partner: Question, label: int, kind: str) -> Pair:
        """The two questions as text, in random order; the label must be what their meanings say."""
        if (anchor.meaning() == partner.meaning()) != bool(label):
            raise AssertionError(f"{kind}: {anchor} / {partner}")
        used: dict[tuple[str, ...], str] = {}
        first, second = say(anchor, self.rng, used), say(partner, self.rng, used)
        if kind == "edit" or self.rng.random() < 0.15:
            second = edit(second, self.rng)
        if self.rng.random() < 0.15:
            first = edit(first, self.rng)
        if self.rng.random() < 0.5:
            first, second = second, first
        return Pair(first, second, label, kind)


def oneoff_pairs() -> list[Pair]:
    """The hand-written pairs: in each group one duplicate and two questions that only look alike."""
    pairs: list[Pair] = []
    for number, group in enumerate(blocks("oneoffs.txt")[:ONEOFF_GROUPS]):
        one, same, near, far = (text for _, text in group)
        found = [Pair(one, same, 1, "oneoff"), Pair(near, one, 0, "oneoff"), Pair(same, far, 0, "oneoff")]
        pairs += found if number % 2 else [replace(p, first=p.second, second=p.first) for p in found]
    return pairs


def make_pairs(sizes: dict[str, int], seed: int) -> dict[str, list[Pair]]:
    """Splits of distinct pairs, each with the same share of duplicates."""
    rng = random.Random(seed)
    drawer = Drawer(rng)
    wanted = {1: sum(round(size * POSITIVE_SHARE) for size in sizes.values())}
    wanted[0] = sum(sizes.values()) - wanted[1]
    made: dict[int, list[Pair]] = {0: [], 1: []}
    seen: set[frozenset[str]] = set()
    for pair in oneoff_pairs():
        made[pair.label].append(pair)
        seen.add(frozenset((pair.first, pair.second)))
    families = list(drawer.families)
    names = [name for name, intent in drawer.intents.items() if not intent.family]
    names += [name for name in names if drawer.intents[name].number]
    for label, count in wanted.items():
        core = round(count * CORE_SHARE)
        turn = 0
        while len(made[label]) < count:
            if turn < core:
                pair = drawer.core_pair(families[turn % len(families)], label)
            else:
                pair = drawer.pair(drawer.intents[names[turn % len(names)]], label)
            key = frozenset((pair.first, pair.second))
            if len(key) == 2 and key not in seen:
                seen.add(key)
                made[label].append(pair)
                turn += 1
        rng.shuffle(made[label])
    splits: dict[str, list[Pair]] = {}
    for name, size in sizes.items():
        positives = round(size * POSITIVE_SHARE)
        take = made[1][:positives] + made[0][: size - positives]
        made = {1: made[1][positives:], 0: made[0][size - positives :]}
        rng.shuffle(take)
        splits[name] = take
    return splits
