"""AP_H, adversarial paraphrases by people (https://aclanthology.org/2021.acl-long.552): sentence1, sentence2, label."""

from pathlib import Path

from pipeline.text.normalise import Normalise
from pipeline.text.pair_table import read_pair_table
from pipeline.text.prepared import Pair
from pipeline.text.table import Counts


def read_ap_h(path: Path, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The sentence pairs; some second sentences are empty in the published file."""
    return read_pair_table(path, "label", normalise)
