"""Join the translations of all shards and check every back-translation.

    python -m pipeline.stages back_translate <language>

Reads block `back_translation`, data/prepared/paraphrase/train.csv and data/augmented/translations/<language>; writes
data/augmented/back_translation/<language>/candidates.csv and metrics/augmentation/<language>.json.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.augment.back_translation import (
    BACK_TRANSLATIONS,
    distinct_sentences,
    read_translations,
    select_sentences,
    write_back_translated,
)
from pipeline.augment.quality import judge_translations, quality_figures
from pipeline.config.augmentation import named_language
from pipeline.config.params import load_params
from pipeline.errors import one_argument
from pipeline.files import new_folder, write_json
from pipeline.text.prepared import PREPARED, read_pairs

METRICS = Path("metrics/augmentation")


def main(arguments: Sequence[str]) -> None:
    block = load_params().back_translation
    language = named_language(one_argument(arguments, "language"), block)
    selected = select_sentences(read_pairs(PREPARED / "paraphrase" / "train.csv"), block.selection, language)
    translations = read_translations(language, block.shards, distinct_sentences(selected))
    judged = judge_translations(selected, translations, block.checks)
    with new_folder(BACK_TRANSLATIONS / language) as folder:
        write_back_translated(folder, judged)
    figures = quality_figures(judged)
    write_json(METRICS / f"{language}.json", {"backend": block.translator.backend, **figures})
    print(f"{language}: {figures['accepted']:,} of {figures['candidates']:,} back-translations accepted")
