"""Mix augmented pairs into the training pairs.

Reads data/prepared/paraphrase and the set's source; writes data/augmented/paraphrase/<set>/train.csv and
metrics/augmentation/sets/<set>.json.
"""

import random
from pathlib import Path

from pipeline.augment.mixing import mix, read_pool
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.files import new_folder, write_json
from pipeline.text.prepared import PREPARED, read_pairs, write_pairs


def main(name: str) -> None:
    training_set = entry(load_params().training_sets, name, "training_sets")
    train = read_pairs(PREPARED / "paraphrase" / "train.csv")
    pool = read_pool(training_set, Path("data"))
    rng = random.Random(f"{load_params().seed} {training_set.source}")
    # The same draw for every set of a source: the control trains on the pairs that its augmented ones were made of.
    added = mix(train, pool, training_set.share, rng, training_set.labels)
    mixed, available = [*train, *added], sum(map(len, pool))
    if not added:
        problem = f"{available} pairs, none of which can be added: rows on this set would repeat the baseline"
        raise InputError(f"training_sets.{name}: data/{training_set.source} has {problem}; leave it and them out")
    with new_folder(Path("data/augmented/paraphrase") / name) as folder:
        write_pairs(folder / "train.csv", mixed)
    after, before = (sum(pair.label == 1 for pair in pairs) / len(pairs) for pairs in (mixed, train))
    figures = {"rows": len(mixed), "augmented": len(added), "augmented_share": len(added) / len(mixed)}
    figures |= {"available": available, "label_1": after, "label_1_before": before}
    write_json(Path("metrics/augmentation/sets") / f"{name}.json", figures)
    print(f"{name}: {len(train):,} training pairs and {len(added):,} of {available:,} augmented ones")
