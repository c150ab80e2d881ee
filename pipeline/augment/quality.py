"""Whether a back-translation may train anything: one verdict a candidate, and the counts.

Pure functions of texts and scores; nothing here loads a model.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.augment.back_translation import BackTranslated, Translation, letters
from pipeline.augment.gates import sentence_chrf
from pipeline.augment.rules import negation_differs, numbers_differ
from pipeline.config.augmentation import Checks
from pipeline.evaluation.generation import distinct
from pipeline.text.prepared import Pair, words_of

ACCEPTED = "accepted"
UNTRANSLATED = "untranslated"  # none, empty, or with a translator's marks
COPY = "copy"  # the source, up to case, punctuation and spaces
NEAR_COPY = "near_copy"
LENGTH = "length"
NUMBERS = "numbers"
NEGATION = "negation"
DRIFT = "drift"  # the similarity of the embeddings is too low
REJECTIONS = (UNTRANSLATED, COPY, NEAR_COPY, LENGTH, NUMBERS, NEGATION, DRIFT)  # the order of the checks

# Apertium marks an unknown word *so, an ungenerated form #so and an untranslated one @so.
_MARKED = re.compile(r"(?<![\w*])[*@#](?=[^\W\d_])|\\@")


def judge_translation(source: str, translation: str, similarity: float | None, chrf: float, checks: Checks) -> str:
    """`accepted`, or the first of `REJECTIONS` that applies.

    Args:
        source: the sentence that was translated.
        translation: its back-translation; empty where the translator failed.
        similarity: cosine of the two embeddings; not looked at where `checks` has no threshold.
        chrf: sentence chrF of the translation against the source, 0 to 1.
    """
    if not letters(translation) or _marks(translation) > _marks(source):
        return UNTRANSLATED
    if letters(translation) == letters(source):
        return COPY
    if chrf >= checks.near_copy:
        return NEAR_COPY
    if _ratio(source, translation) > checks.length_ratio:
        return LENGTH
    if numbers_differ(source, translation):
        return NUMBERS
    if negation_differs(source, translation):
        return NEGATION
    if checks.similarity is not None and (similarity is None or similarity < checks.similarity):
        return DRIFT
    return ACCEPTED


def judge_translations(
    selected: Sequence[tuple[Pair, str]], translations: Mapping[str, Translation], checks: Checks
) -> list[BackTranslated]:
    """Every selected sentence with its back-translation, scores and verdict."""
    judged = []
    for pair, sentence in selected:
        source, back, similarity = translations[getattr(pair, sentence)]
        other = pair.sentence2 if sentence == "sentence1" else pair.sentence1
        chrf = sentence_chrf(source, back)
        verdict = judge_translation(source, back, similarity, chrf, checks)
        judged.append(
            BackTranslated(pair.id, sentence, pair.label or 0, source, back, other, similarity, chrf, verdict)
        )
    return judged


def quality_figures(judged: Sequence[BackTranslated]) -> dict[str, float]:
    """Counts of all candidates, and means over the accepted ones; a mean of nothing is left out.

    Returns:
        candidates, accepted, acceptance_rate, every rejection; mean_similarity (-1 to 1), chrf_to_source (0 to 1) and
        distinct_2 (distinct word bigrams over all, 0 to 1).
    """
    counts = Counter(row.verdict for row in judged)
    accepted = [row for row in judged if row.verdict == ACCEPTED]
    result: dict[str, float] = {"candidates": len(judged), "accepted": len(accepted)}
    result["acceptance_rate"] = len(accepted) / len(judged) if judged else 0.0
    result |= {reason: counts[reason] for reason in REJECTIONS}
    if known := [row.similarity for row in accepted if row.similarity is not None]:
        result["mean_similarity"] = sum(known) / len(known)
    if accepted:
        result["chrf_to_source"] = sum(row.chrf for row in accepted) / len(accepted)
        result["distinct_2"] = distinct([row.translation for row in accepted], 2)
    return result


def _marks(text: str) -> int:
    return len(_MARKED.findall(text))


def _ratio(first: str, second: str) -> float:
    shorter, longer = sorted((max(len(words_of(first)), 1), max(len(words_of(second)), 1)))
    return longer / shorter
