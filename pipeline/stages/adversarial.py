"""Join what the shards of the adversarial search have found.

    python -m pipeline.stages adversarial

Reads block `adversarial`, data/prepared/paraphrase/train.csv, data/augmented/back_translation and
data/augmented/adversarial_search; writes data/augmented/adversarial/{candidates.csv,about.json} and
metrics/augmentation/apt.json.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.augment.adversarial import (
    choose_questions,
    read_back_translations,
    read_shards,
    search_figures,
    write_candidates,
)
from pipeline.augment.back_translation import BACK_TRANSLATIONS
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.files import new_folder, write_json
from pipeline.text.prepared import PREPARED, read_pairs

OUT, METRICS = Path("data/augmented/adversarial"), Path("metrics/augmentation/apt.json")


def main(arguments: Sequence[str]) -> None:
    if arguments:
        raise InputError("usage: python -m pipeline.stages adversarial")
    settings = load_params().adversarial
    given = read_back_translations(BACK_TRANSLATIONS) if settings.back_translations else {}
    pairs = read_pairs(PREPARED / "paraphrase" / "train.csv")
    questions = choose_questions(pairs, settings.questions, given, load_params().seed)
    candidates, about = read_shards(settings.shards, questions)
    with new_folder(OUT) as folder:
        write_candidates(folder / "candidates.csv", candidates)
        write_json(folder / "about.json", about)
    counts = search_figures(candidates, len(questions))
    write_json(METRICS, about | counts)
    print(f"{counts['adversarial']:,} adversarial paraphrases among {counts['scored']:,} scored candidates")
