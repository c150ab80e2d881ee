"""Adversarial paraphrases: same meaning, different words (Nighojkar & Licato 2021).

https://aclanthology.org/2021.acl-long.552: a pair is adversarial when the sentences imply each other, by the meaning
gate in both directions, and look different, by the surface gate. Candidates that fail a gate are kept with their
scores: they are the ordinary positives and the hard negatives of the training set.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from pipeline.files import read_csv, read_jsonl, write_csv, write_jsonl
from pipeline.text.prepared import Pair

ADVERSARIAL = "adversarial"  # mutually implicative, different in surface: positive
ORDINARY = "ordinary"  # mutually implicative, alike in surface: positive
HARD_NEGATIVE = "hard_negative"  # not mutually implicative, alike in surface: negative
UNRELATED = "unrelated"  # neither: of no use
UNFINISHED, COPY, REPEATED = "unfinished", "copy", "repeated"  # not scored
VERDICTS = (ADVERSARIAL, ORDINARY, HARD_NEGATIVE, UNRELATED, UNFINISHED, COPY, REPEATED)
BACK_TRANSLATION = "back_translation"  # the origin of candidates that no generator has written
LABELS = {ADVERSARIAL: 1, ORDINARY: 1, HARD_NEGATIVE: 0}

SEARCH = Path("data/augmented/adversarial_search")  # of the shards: a folder each
Score = Callable[[Sequence[tuple[str, str]]], Sequence[float]]  # (first, second) pairs -> one score each


@dataclass(frozen=True)
class Candidate:
    """A candidate for one question; the scores are None where it was not scored."""

    question: str
    candidate: str
    origin: str
    retry: int
    meaning_forward: float | None  # the question implies the candidate
    meaning_backward: float | None
    surface: float | None  # mean of both directions
    verdict: str


@dataclass(frozen=True)
class Gates:
    """The two gates with their thresholds."""

    meaning: Score
    meaning_threshold: float  # both directions reach it
    surface: Score
    surface_threshold: float  # the mean of both directions stays below it


def choose_questions(pairs: Sequence[Pair], limit: int | None, given: Mapping[str, object], seed: int) -> list[str]:
    """Distinct training questions in random order, those that have back-translations first, at most `limit`."""
    questions = list(dict.fromkeys(text for pair in pairs for text in (pair.sentence1, pair.sentence2)))
    random.Random(f"{seed} adversarial").shuffle(questions)
    return sorted(questions, key=lambda question: question not in given)[:limit]


def search(
    questions: Sequence[str],
    generate: Callable[[Sequence[str], int], Sequence[Sequence[str]]],
    origin: str,
    retries: int,
    gates: Gates,
    given: Mapping[str, Sequence[str]],
) -> list[Candidate]:
    """Candidates for every question, round after round, until each has an adversarial one or the retries are used up.

    Args:
        questions: distinct.
        generate: (questions, retry) -> candidates of each question.
        origin: the generator's name.
        retries: rounds after the first.
        given: candidates from elsewhere (back-translation) by question, judged in the first round.
    """
    found: list[Candidate] = []
    known = {question: {plain(question)} for question in questions}
    open_questions = list(questions)
    for retry in range(retries + 1):
        proposals = [(question, text, BACK_TRANSLATION) for question in questions for text in given.get(question, ())]
        proposals = [] if retry else proposals
        for question, texts in zip(open_questions, generate(open_questions, retry), strict=True):
            proposals += [(question, text, origin) for text in texts]
        found += judge(proposals, retry, known, gates)
        solved = {candidate.question for candidate in found if candidate.verdict == ADVERSARIAL}
        open_questions = [question for question in questions if question not in solved]
        if not open_questions:
            break
    return found


def in_rounds(found: Sequence[Candidate], questions: Sequence[str]) -> list[Candidate]:
    """What searches have found for parts of the questions, in the order in which one for all of them finds it."""
    place = {question: number for number, question in enumerate(questions)}
    return sorted(found, key=lambda row: (row.retry, row.origin != BACK_TRANSLATION, place[row.question]))


def judge(
    proposals: Sequence[tuple[str, str, str]], retry: int, known: dict[str, set[str]], gates: Gates
) -> list[Candidate]:
    """Candidates from (question, text, origin); `known` holds the plain texts seen for each question and grows."""
    reasons = [_reason(question, text, known[question]) for question, text, _ in proposals]
    pairs = [(question, text) for (question, text, _), reason in zip(proposals, reasons, strict=True) if not reason]
    turned = [(second, first) for first, second in pairs]
    forward, backward = gates.meaning(pairs), gates.meaning(turned)
    surface = [(one + other) / 2 for one, other in zip(gates.surface(pairs), gates.surface(turned), strict=True)]
    scores = iter(zip(forward, backward, surface, strict=True))
    judged = []
    for (question, text, origin), reason in zip(proposals, reasons, strict=True):
        if reason:
            judged.append(Candidate(question, text, origin, retry, None, None, None, reason))
        else:
            ahead, back, alike = next(scores)
            judged.append(
                Candidate(question, text, origin, retry, ahead, back, alike, verdict(ahead, back, alike, gates))
            )
    return judged


def verdict(forward: float, backward: float, surface: float, gates: Gates) -> str:
    """What a scored candidate is."""
    mutual = min(forward, backward) >= gates.meaning_threshold
    different = surface < gates.surface_threshold
    if mutual:
        return ADVERSARIAL if different else ORDINARY
    return UNRELATED if different else HARD_NEGATIVE


def plain(text: str) -> str:
    """The text without case, punctuation and spaces: what makes two texts the same."""
    return re.sub(r"[\W_]+", "", text).casefold()


def _reason(question: str, text: str, known: set[str]) -> str:
    """Why a candidate is not scored, or nothing; a new one is added to `known`."""
    key = plain(text)
    if not key:
        return UNFINISHED
    if key in known:
        return COPY if key == plain(question) else REPEATED
    known.add(key)
    return ""


def figures(candidates: Sequence[Candidate], questions: int) -> dict[str, float]:
    """Counts and acceptance rates, flat: in all, by gate, by retry and by origin."""
    verdicts = Counter(candidate.verdict for candidate in candidates)
    scored = [candidate for candidate in candidates if candidate.surface is not None]
    solved = {candidate.question for candidate in candidates if candidate.verdict == ADVERSARIAL}
    result: dict[str, float] = {"questions": questions, "questions_with_adversarial": len(solved)}
    result |= {"candidates": len(candidates), "scored": len(scored)}
    result |= {name: verdicts[name] for name in VERDICTS}
    mutual = verdicts[ADVERSARIAL] + verdicts[ORDINARY]
    different = verdicts[ADVERSARIAL] + verdicts[UNRELATED]
    result |= {"meaning_gate_rate": _share(mutual, len(scored)), "surface_gate_rate": _share(different, len(scored))}
    result["both_gates_rate"] = _share(verdicts[ADVERSARIAL], len(scored))
    result |= _by("origin", [(candidate.origin, candidate) for candidate in scored])
    result |= _by("retry", [(str(candidate.retry), candidate) for candidate in scored])
    return result


def _by(name: str, scored: Sequence[tuple[str, Candidate]]) -> dict[str, float]:
    result: dict[str, float] = {}
    for value in sorted({value for value, _ in scored}):
        verdicts = [candidate.verdict for found, candidate in scored if found == value]
        result[f"{name}_{value}_scored"] = len(verdicts)
        result[f"{name}_{value}_adversarial"] = verdicts.count(ADVERSARIAL)
    return result


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def write_part(folder: Path, candidates: Sequence[Candidate]) -> None:
    """What one shard has found."""
    write_jsonl(folder / "candidates.jsonl", map(asdict, candidates))


def read_part(folder: Path) -> list[Candidate]:
    """What `write_part` wrote."""
    return [Candidate(**row) for row in read_jsonl(folder / "candidates.jsonl")]


COLUMNS = [field.name for field in fields(Candidate)]


def write_candidates(path: Path, candidates: Sequence[Candidate]) -> None:
    """All candidates with their scores and verdicts, in the order they were judged."""
    write_csv(path, COLUMNS, map(astuple, candidates))


def read_candidates(path: Path) -> list[Candidate]:
    """What `write_candidates` wrote."""
    rows = read_csv(path, COLUMNS)
    return [
        Candidate(
            row["question"],
            row["candidate"],
            row["origin"],
            int(row["retry"]),
            _number(row["meaning_forward"]),
            _number(row["meaning_backward"]),
            _number(row["surface"]),
            row["verdict"],
        )
        for row in rows
    ]


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
