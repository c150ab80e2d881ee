"""Whether a back-translation may train anything: one verdict a candidate, and the counts.

Pure functions of texts and scores; nothing here loads a model.
"""

import re
from collections import Counter
from collections.abc import Sequence

from pipeline.augment.rules import negation_differs, numbers_differ
from pipeline.augment.surface.chrf import chrf
from pipeline.evaluation.generation import distinct
from pipeline.text.lines import words_of

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


def judge(
    source: str,
    translation: str | None,
    similarity: float | None,
    near_copy: float,
    length_ratio: float,
    threshold: float | None,
) -> str:
    """`accepted`, or the first of `REJECTIONS` that applies.

    Args:
        source: the sentence that was translated.
        translation: its back-translation; None where the translator failed.
        similarity: cosine of the two embeddings; not looked at without `threshold`.
        near_copy: chrF / 100 of the translation against the source from which it is a near copy.
        length_ratio: how many times longer, in words, either may be than the other.
        threshold: least similarity; None for no such check.
    """
    if translation is None or not _plain(translation) or _marks(translation) > _marks(source):
        return UNTRANSLATED
    if _plain(translation) == _plain(source):
        return COPY
    if chrf(source, translation) >= near_copy:
        return NEAR_COPY
    if _ratio(source, translation) > length_ratio:
        return LENGTH
    if numbers_differ(source, translation):
        return NUMBERS
    if negation_differs(source, translation):
        return NEGATION
    if threshold is not None and (similarity is None or similarity < threshold):
        return DRIFT
    return ACCEPTED


def summary(
    sources: Sequence[str],
    translations: Sequence[str | None],
    verdicts: Sequence[str],
    similarities: Sequence[float | None],
) -> dict[str, float]:
    """Counts of all candidates, and means over the accepted ones; a mean of nothing is left out.

    Returns:
        candidates, accepted, acceptance_rate, every rejection; mean_similarity (-1 to 1), chrf_to_source (0 to 1) and
        distinct_2 (distinct word bigrams over all, 0 to 1).
    """
    counts = Counter(verdicts)
    accepted = [index for index, verdict in enumerate(verdicts) if verdict == ACCEPTED]
    result: dict[str, float] = {"candidates": len(verdicts), "accepted": len(accepted)}
    result["acceptance_rate"] = len(accepted) / len(verdicts) if verdicts else 0.0
    result |= {reason: counts[reason] for reason in REJECTIONS}
    known = [similarity for index in accepted if (similarity := similarities[index]) is not None]
    if known:
        result["mean_similarity"] = sum(known) / len(known)
    if accepted:
        texts = [translations[index] or "" for index in accepted]
        scores = [chrf(sources[index], text) for index, text in zip(accepted, texts, strict=True)]
        result["chrf_to_source"] = sum(scores) / len(scores)
        result["distinct_2"] = distinct(texts, 2)
    return result


def _plain(text: str) -> str:
    """Without case, punctuation and spaces."""
    return re.sub(r"[\W_]+", "", text).casefold()


def _marks(text: str) -> int:
    return len(_MARKED.findall(text))


def _ratio(first: str, second: str) -> float:
    shorter, longer = sorted((max(len(words_of(first)), 1), max(len(words_of(second)), 1)))
    return longer / shorter
