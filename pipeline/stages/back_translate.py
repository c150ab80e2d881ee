"""Join the translations of all shards and check every back-translation.

Reads block `back_translation`, data/prepared/paraphrase/train.csv and data/augmented/translations/<language>; writes
data/augmented/back_translation/<language>/candidates.csv and metrics/augmentation/<language>.json.
"""

from pathlib import Path

from pipeline.augment import back_translation as bet
from pipeline.config.base import named
from pipeline.config.params import load_params
from pipeline.files import new_folder, write_csv, write_json
from pipeline.text.prepared import PREPARED, read_pairs


def main(language: str) -> None:
    block = load_params().back_translation
    named(block.languages, language, "back_translation.languages")
    selected = bet.select_sentences(read_pairs(PREPARED / "paraphrase" / "train.csv"), block.selection, language)
    translations = bet.read_translations(language, block.shards, bet.distinct_sentences(selected))
    judged = bet.judge_translations(selected, translations, block.checks)
    with new_folder(bet.BACK_TRANSLATIONS / language) as folder:
        write_csv(folder / "candidates.csv", bet.BackTranslated._fields, judged)
    figures = bet.quality_figures(judged)
    write_json(Path("metrics/augmentation") / f"{language}.json", {"backend": block.translator.backend, **figures})
    print(f"{language}: {figures['accepted']:,} of {figures['candidates']:,} back-translations accepted")
