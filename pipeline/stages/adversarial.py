"""Join what the shards of the adversarial search have found.

Reads block `adversarial`, data/prepared/paraphrase/train.csv, data/augmented/back_translation and
data/augmented/adversarial_search; writes data/augmented/adversarial/{candidates.csv,about.json} and
metrics/augmentation/apt.json.
"""

from pathlib import Path

from pipeline.augment import adversarial
from pipeline.config.params import load_params
from pipeline.files import new_folder, write_json


def main() -> None:
    settings = load_params().adversarial
    questions, _ = adversarial.choose_questions(settings, load_params().seed)
    candidates, about = adversarial.read_shards(settings.shards, questions)
    with new_folder(Path("data/augmented/adversarial")) as folder:
        adversarial.write_candidates(folder / "candidates.csv", candidates)
        write_json(folder / "about.json", about)
    counts = adversarial.search_figures(candidates, len(questions))
    write_json(Path("metrics/augmentation/apt.json"), about | counts)
    print(f"{counts['adversarial']:,} adversarial paraphrases among {counts['scored']:,} scored candidates")
