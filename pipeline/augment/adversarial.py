"""Adversarial paraphrases: same meaning, different words (Nighojkar & Licato 2021).

https://aclanthology.org/2021.acl-long.552: a pair is adversarial when the sentences imply each other, by the meaning
gate in both directions, and look different, by the surface gate. What fails a gate is kept: the ordinary positives and
the hard negatives of the training set.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.augment.back_translation import BACK_TRANSLATIONS, letters, read_back_translated
from pipeline.config.augmentation import Adversarial
from pipeline.errors import InputError
from pipeline.files import read_csv, read_json, read_jsonl, write_csv
from pipeline.text.prepared import PREPARED, read_pairs

ADVERSARIAL = "adversarial"  # mutually implicative, different in surface: positive
ORDINARY = "ordinary"  # mutually implicative, alike in surface: positive
HARD_NEGATIVE = "hard_negative"  # not mutually implicative, alike in surface: negative
UNRELATED = "unrelated"  # neither: of no use
UNFINISHED, COPY, REPEATED = "unfinished", "copy", "repeated"  # not scored
VERDICTS = (ADVERSARIAL, ORDINARY, HARD_NEGATIVE, UNRELATED, UNFINISHED, COPY, REPEATED)
LABELS = {ADVERSARIAL: 1, ORDINARY: 1, HARD_NEGATIVE: 0}
BACK_TRANSLATION = "back_translation"  # the origin of candidates that no generator has written

SEARCH = Path("data/augmented/adversarial_search")  # of the shards: <shard>/{candidates.jsonl,about.json}
QUESTIONS = 64  # generated for and judged together
ScorePairs = Callable[[Sequence[tuple[str, str]]], Sequence[float]]  # (first, second) pairs -> one score each


class Candidate(NamedTuple):
    """A candidate for one question; the scores are None where it was not scored."""

    question: str
    candidate: str
    origin: str
    retry: int
    meaning_forward: float | None  # the question implies the candidate
    meaning_backward: float | None
    surface: float | None  # mean of both directions
    verdict: str


class Gates(NamedTuple):
    """The two gates, and the thresholds that both directions reach or that their mean stays below."""

    meaning: ScorePairs
    meaning_threshold: float
    surface: ScorePairs
    surface_threshold: float

    def verdict(self, forward: float, backward: float, surface: float) -> str:
        """What a candidate with these scores is."""
        different = surface < self.surface_threshold
        if min(forward, backward) >= self.meaning_threshold:
            return ADVERSARIAL if different else ORDINARY
        return UNRELATED if different else HARD_NEGATIVE


def choose_questions(settings: Adversarial, seed: int) -> tuple[list[str], dict[str, list[str]]]:
    """Distinct training questions to paraphrase, in random order after those that have back-translations, and these."""
    given: dict[str, list[str]] = {}
    for _, row in read_back_translated(BACK_TRANSLATIONS) if settings.back_translations else ():
        given.setdefault(row["source"], []).append(row["translation"])
    pairs = read_pairs(PREPARED / "paraphrase" / "train.csv")
    questions = list(dict.fromkeys(text for pair in pairs for text in (pair.sentence1, pair.sentence2)))
    random.Random(f"{seed} adversarial").shuffle(questions)
    return sorted(questions, key=lambda question: question not in given)[: settings.questions], given


def search_paraphrases(
    questions: Sequence[str],
    generate: Callable[[Sequence[str], int], Sequence[Sequence[str]]],
    origin: str,
    retries: int,
    gates: Gates,
    given: Mapping[str, Sequence[str]],
) -> list[Candidate]:
    """Candidates for every question, round after round, until each has an adversarial one or the retries are used up.

    `generate`, whose name is `origin`, makes candidates of each question from (questions, retry). The back-translations
    `given` by question are judged in the first round.
    """
    proposals = [(question, text, BACK_TRANSLATION) for question in questions for text in given.get(question, ())]
    found: list[Candidate] = []
    known = {question: {letters(question)} for question in questions}
    for retry in range(retries + 1):
        solved = {candidate.question for candidate in found if candidate.verdict == ADVERSARIAL}
        if not (still := [question for question in questions if question not in solved]):
            break
        for question, texts in zip(still, generate(still, retry), strict=True):
            proposals += [(question, text, origin) for text in texts]
        found += judge_proposals(proposals, retry, known, gates)
        proposals = []
    return found


def judge_proposals(
    proposals: Sequence[tuple[str, str, str]], retry: int, known: Mapping[str, set[str]], gates: Gates
) -> list[Candidate]:
    """Candidates from (question, text, origin); `known`, the letters of the texts seen for each question, grows."""
    judged: list[Candidate] = []
    for question, text, origin in proposals:
        key, seen = letters(text), known[question]
        verdict = "" if key not in seen else COPY if key == letters(question) else REPEATED
        judged.append(Candidate(question, text, origin, retry, None, None, None, verdict if key else UNFINISHED))
        seen.add(key)
    fresh = [place for place, row in enumerate(judged) if not row.verdict]
    pairs = [(judged[place].question, judged[place].candidate) for place in fresh]
    turned = [(second, first) for first, second in pairs]
    meaning = gates.meaning(pairs), gates.meaning(turned)
    surface = [(one + other) / 2 for one, other in zip(gates.surface(pairs), gates.surface(turned), strict=True)]
    for place, ahead, back, alike in zip(fresh, *meaning, surface, strict=True):
        judged[place] = Candidate(*judged[place][:4], ahead, back, alike, gates.verdict(ahead, back, alike))
    return judged


def search_figures(candidates: Sequence[Candidate], questions: int) -> dict[str, float]:
    """Counts and acceptance rates, flat: in all, by gate, by retry and by origin."""
    counts = Counter(row.verdict for row in candidates)
    scored = [row for row in candidates if row.surface is not None]
    adversarial = [row for row in scored if row.verdict == ADVERSARIAL]
    solved, judged = len({row.question for row in adversarial}), max(len(scored), 1)
    result: dict[str, float] = {"questions": questions, "questions_with_adversarial": solved}
    result |= {"candidates": len(candidates), "scored": len(scored), **{name: counts[name] for name in VERDICTS}}
    result["meaning_gate_rate"] = (counts[ADVERSARIAL] + counts[ORDINARY]) / judged
    result["surface_gate_rate"] = (counts[ADVERSARIAL] + counts[UNRELATED]) / judged
    result["both_gates_rate"] = counts[ADVERSARIAL] / judged
    for name in ("origin", "retry"):
        solving = Counter(str(getattr(row, name)) for row in adversarial)
        for value, count in sorted(Counter(str(getattr(row, name)) for row in scored).items()):
            result |= {f"{name}_{value}_scored": count, f"{name}_{value}_adversarial": solving[value]}
    return result


def read_shards(shards: Sequence[int], questions: Sequence[str]) -> tuple[list[Candidate], dict[str, str]]:
    """What all shards have found, in the order of one search for all `questions`, and about their generator and gates.

    These must be the same in all shards: a model of the hub may change between two machines.
    """
    first, *folders = [SEARCH / str(shard) for shard in shards]
    about = read_json(first / "about.json")
    for folder, (key, value) in product(folders, about.items()):
        if (other := read_json(folder / "about.json")[key]) != value:
            again = "pin the revision in params.yaml, run both with the same"
            raise InputError(f"{folder} and {first}: {key} is {other!r} and {value!r}; {again}")
    found = [Candidate(**row) for folder in (first, *folders) for row in read_jsonl(folder / "candidates.jsonl")]
    if {candidate.question for candidate in found} != set(questions):
        raise InputError(f"{SEARCH}: the shards have searched for other questions; run `dvc repro`")
    place = {question: number for number, question in enumerate(questions)}
    found.sort(key=lambda row: (row.retry, row.origin != BACK_TRANSLATION, place[row.question]))
    return found, about


def write_candidates(path: Path, candidates: Sequence[Candidate]) -> None:
    """All candidates with their scores and verdicts, in the order they were judged."""
    write_csv(path, Candidate._fields, candidates)


def read_candidates(path: Path) -> list[Candidate]:
    """What `write_candidates` wrote."""
    found = []
    for row in read_csv(path, Candidate._fields):
        cells: dict[str, Any] = row | {"retry": int(row["retry"])}
        for score in ("meaning_forward", "meaning_backward", "surface"):
            cells[score] = float(row[score]) if row[score] else None
        found.append(Candidate(**cells))
    return found
