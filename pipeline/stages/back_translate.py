"""Join the translations of all shards and check every back-translation.

    python -m pipeline.stages back_translate <language>

Reads block `back_translation`, data/prepared/paraphrase/train.csv and data/augmented/translations/<language>; writes
data/augmented/back_translation/<language>/candidates.csv and metrics/augmentation/<language>.json.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.augment import quality
from pipeline.augment.back_translation import (
    BACK_TRANSLATIONS,
    Candidate,
    Translation,
    distinct_sentences,
    read_translations,
    select,
    write_candidates,
)
from pipeline.augment.surface.chrf import chrf
from pipeline.config.augmentation import BackTranslation, Checks, named_language
from pipeline.config.base import load_block
from pipeline.errors import one_argument
from pipeline.files import new_folder, write_json
from pipeline.text.prepared import PREPARED, Pair, read_pairs

METRICS = Path("metrics/augmentation")


def main(arguments: Sequence[str]) -> None:
    block = load_block("back_translation", BackTranslation)
    language = named_language(one_argument(arguments, "language"), block)
    selected = select(read_pairs(PREPARED / "paraphrase" / "train.csv"), block.selection, language)
    translations = read_translations(language, block.shards, distinct_sentences(selected))
    candidates = judge(selected, translations, block.checks)
    with new_folder(BACK_TRANSLATIONS / language) as folder:
        write_candidates(folder / "candidates.csv", candidates)
    figures = quality.summary(
        [row.source for row in candidates],
        [row.translation for row in candidates],
        [row.verdict for row in candidates],
        [row.similarity for row in candidates],
    )
    write_json(METRICS / f"{language}.json", {"backend": block.translator.backend, **figures})
    print(f"{language}: {figures['accepted']:,} of {figures['candidates']:,} back-translations accepted")


def judge(
    selected: Sequence[tuple[Pair, str]], translations: Mapping[str, Translation], checks: Checks
) -> list[Candidate]:
    """Every selected sentence with its back-translation, scores and verdict."""
    candidates = []
    for pair, sentence in selected:
        made = translations[getattr(pair, sentence)]
        source, back, similarity = made.source, made.translation, made.similarity
        verdict = quality.judge(source, back, similarity, checks.near_copy, checks.length_ratio, checks.similarity)
        other = pair.sentence2 if sentence == "sentence1" else pair.sentence1
        alike = chrf(source, back)
        candidates.append(
            Candidate(pair.id, sentence, pair.label or 0, source, back, other, similarity, alike, verdict)
        )
    return candidates
