"""Back-translation of training pairs (BET, Corbeil & Ghadivel 2020, https://arxiv.org/abs/2009.12452).

A sentence of a pair is translated into another language and back, and judged; the pair keeps its label. Shards, perhaps
on several machines, share the work. The last bits of a model's output depend on what shares its batch, so the work is
cut into blocks of a fixed size: shard k of n does blocks k, k + n, k + 2n...
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from pipeline.augment.gates import sentence_chrf
from pipeline.augment.rules import negation_differs, numbers_differ
from pipeline.config.augmentation import Checks, Selection
from pipeline.errors import InputError
from pipeline.evaluation.generation import distinct
from pipeline.files import read_csv, read_jsonl
from pipeline.text.prepared import Pair, words_of

BACK_TRANSLATIONS = Path("data/augmented/back_translation")  # <language>/candidates.csv
TRANSLATIONS = Path("data/augmented/translations")  # of the shards: <language>/<shard>/translations.jsonl
SENTENCES = 1024  # translated together
ACCEPTED = "accepted"
REJECTIONS = ("untranslated", "copy", "near_copy", "length", "numbers", "negation", "drift")  # the order of the checks
Item = TypeVar("Item")


class BackTranslated(NamedTuple):
    """A back-translation of one sentence of a training pair; similarity and chrF are to `source`."""

    id: str  # of the training pair
    sentence: str  # which one was translated: sentence1 or sentence2
    label: int
    source: str
    translation: str
    other: str
    similarity: float | None
    chrf: float
    verdict: str


def blocks_of(items: Sequence[Item], size: int, shard: int, shards: int) -> list[Sequence[Item]]:
    """The blocks of `size` items that fall to shard `shard` of `shards`; the last of all blocks may be shorter."""
    return [items[start : start + size] for start in range(shard * size, len(items), shards * size)]


def select_sentences(pairs: Sequence[Pair], selection: Selection, language: str) -> list[tuple[Pair, str]]:
    """The (pair, sentence1 or sentence2) to translate, in the order of `pairs`.

    Pairs are drawn by a hash of language and text: another seed or split translates mostly what the memory has.
    """

    def rank(index: int) -> bytes:
        text = "\t".join([language, pairs[index].sentence1, pairs[index].sentence2])
        return hashlib.sha256(text.casefold().encode()).digest()

    eligible = [index for index, pair in enumerate(pairs) if pair.label in selection.labels]
    drawn = sorted(sorted(eligible, key=rank)[: selection.pairs])
    return [(pairs[index], sentence) for index in drawn for sentence in selection.sentences]


def distinct_sentences(selected: Sequence[tuple[Pair, str]]) -> list[str]:
    """What is to be translated, each sentence once."""
    return list(dict.fromkeys(getattr(pair, sentence) for pair, sentence in selected))


def read_translations(
    language: str, shards: Sequence[int], wanted: Sequence[str]
) -> dict[str, tuple[str, float | None]]:
    """Sentence -> (back-translation or "", cosine of both or None), of all shards; all `wanted` ones must be there."""
    files = [TRANSLATIONS / language / str(shard) / "translations.jsonl" for shard in shards]
    found = {row["source"]: (row["translation"], row["similarity"]) for file in files for row in read_jsonl(file)}
    if missing := [source for source in wanted if source not in found]:
        raise InputError(f"{TRANSLATIONS / language}: {missing[0]!r} is missing; run `dvc repro`")
    return found


def judge_translation(source: str, translation: str, similarity: float | None, chrf: float, checks: Checks) -> str:
    """`accepted`, or the first of `REJECTIONS` that applies to a sentence and its back-translation.

    The similarity is the cosine of both, not looked at where `checks` has no threshold; chrF is 0 to 1.
    """
    # Apertium marks an unknown word *so, an ungenerated form #so and an untranslated one @so.
    marks, old_marks = (len(re.findall(r"(?<![\w*])[*@#](?=[^\W\d_])|\\@", text)) for text in (translation, source))
    shorter, longer = sorted(max(len(words_of(text)), 1) for text in (source, translation))
    applies = {
        "untranslated": not letters(translation) or marks > old_marks,
        "copy": letters(translation) == letters(source),
        "near_copy": chrf >= checks.near_copy,
        "length": longer / shorter > checks.length_ratio,
        "numbers": numbers_differ(source, translation),
        "negation": negation_differs(source, translation),
        "drift": checks.similarity is not None and (similarity is None or similarity < checks.similarity),
    }
    return next((reason for reason in REJECTIONS if applies[reason]), ACCEPTED)


def judge_translations(
    selected: Sequence[tuple[Pair, str]], translations: Mapping[str, tuple[str, float | None]], checks: Checks
) -> list[BackTranslated]:
    """Every selected sentence with its back-translation, scores and verdict."""
    judged = []
    for pair, sentence in selected:
        texts = pair.sentence1, pair.sentence2
        source, other = texts if sentence == "sentence1" else texts[::-1]
        back, similarity = translations[source]
        chrf = sentence_chrf(source, back)
        scores = similarity, chrf, judge_translation(source, back, similarity, chrf, checks)
        judged.append(BackTranslated(pair.id, sentence, pair.label or 0, source, back, other, *scores))
    return judged


def quality_figures(judged: Sequence[BackTranslated]) -> dict[str, float]:
    """Counts of all candidates, and means over the accepted ones, -1 to 1; a mean of nothing is left out."""
    counts = Counter(row.verdict for row in judged)
    accepted = [row for row in judged if row.verdict == ACCEPTED]
    result: dict[str, float] = {"candidates": len(judged), "accepted": len(accepted)}
    result["acceptance_rate"] = len(accepted) / max(len(judged), 1)
    result |= {reason: counts[reason] for reason in REJECTIONS}
    if known := [row.similarity for row in accepted if row.similarity is not None]:
        result["mean_similarity"] = sum(known) / len(known)
    if accepted:
        result["chrf_to_source"] = sum(row.chrf for row in accepted) / len(accepted)
        result["distinct_2"] = distinct([row.translation for row in accepted], 2)
    return result


def read_back_translated(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(language, cells by column) of every back-translation through every language."""
    for path in sorted(folder.glob("*/candidates.csv")):
        for row in read_csv(path, BackTranslated._fields):
            yield path.parent.name, row


def letters(text: str) -> str:
    """The text without case, punctuation and spaces: what makes two texts the same."""
    return re.sub(r"[\W_]+", "", text).casefold()
