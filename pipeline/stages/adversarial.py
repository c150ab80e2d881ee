"""Join what the shards of the adversarial search have found.

    python -m pipeline.stages adversarial

Reads block `adversarial`, data/prepared/paraphrase/train.csv, data/augmented/back_translation and
data/augmented/adversarial_search; writes data/augmented/adversarial/{candidates.csv,about.json} and
metrics/augmentation/apt.json.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.augment.adversarial import SEARCH, choose_questions, figures, in_rounds, read_part, write_candidates
from pipeline.augment.back_translation import BACK_TRANSLATIONS, read_back_translations
from pipeline.config.augmentation import Adversarial
from pipeline.config.base import load_block, load_seed
from pipeline.errors import InputError
from pipeline.files import new_folder, read_json, write_json
from pipeline.text.prepared import PREPARED, read_pairs

OUT, METRICS = Path("data/augmented/adversarial"), Path("metrics/augmentation/apt.json")


def main(arguments: Sequence[str]) -> None:
    if arguments:
        raise InputError("usage: python -m pipeline.stages adversarial")
    settings = load_block("adversarial", Adversarial)
    given = read_back_translations(BACK_TRANSLATIONS) if settings.back_translations else {}
    pairs = read_pairs(PREPARED / "paraphrase" / "train.csv")
    questions = choose_questions(pairs, settings.questions, given, load_seed())
    folders = [SEARCH / str(shard) for shard in settings.shards]
    about = common_about(folders)
    found = [candidate for folder in folders for candidate in read_part(folder)]
    if {candidate.question for candidate in found} != set(questions):
        raise InputError(f"{SEARCH}: the shards have searched for other questions; run `dvc repro`")
    candidates = in_rounds(found, questions)
    with new_folder(OUT) as folder:
        write_candidates(folder / "candidates.csv", candidates)
        write_json(folder / "about.json", about)
    counts = figures(candidates, len(questions))
    write_json(METRICS, about | counts)
    print(f"{counts['adversarial']:,} adversarial paraphrases among {counts['scored']:,} scored candidates")


def common_about(folders: Sequence[Path]) -> dict[str, str]:
    """The generator and the gates, the same in all shards: a model of the hub may change between two machines."""
    first, *others = [(folder, read_json(folder / "about.json")) for folder in folders]
    for folder, about in others:
        if differing := [
            f"{key} is {about[key]!r} and {value!r}" for key, value in first[1].items() if about[key] != value
        ]:
            raise InputError(
                f"{folder} and {first[0]}: {differing[0]}; pin the revision in params.yaml, run both with the same"
            )
    return first[1]
