"""Fine-tune one row of the paraphrase table.

    python -m pipeline.stages.train_paraphrase <row>

Reads models/backbone, the row's training set, data/prepared/paraphrase and the held-out pairs of data/prepared/ap_h;
writes paraphrase/<row> under models/, predictions/, plots/curves/.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.classification import BACKBONE, Split, fine_tune
from pipeline.config.base import load_block, load_seed
from pipeline.config.paraphrase import load_paraphrase
from pipeline.config.training import Compute
from pipeline.determinism import make_deterministic
from pipeline.errors import one_argument, stage_main
from pipeline.models.classifier import build_classifier
from pipeline.objectives import cross_entropy
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import encode_pairs
from pipeline.text.tokenizer import load_tokenizer

DATA, ROBUSTNESS = PREPARED / "paraphrase", PREPARED / "ap_h"


def main(arguments: Sequence[str]) -> None:
    row = one_argument(arguments, "row")
    settings = load_paraphrase(row)
    make_deterministic(load_seed(), load_block("compute", Compute).threads)
    tokenizer = load_tokenizer(BACKBONE)
    train = Path("data") / settings.train
    files = {"train": train / "train.csv"} | {name: DATA / f"{name}.csv" for name in ("select", "dev", "test")}
    files["ap_h"] = ROBUSTNESS / "dev.csv"
    splits = {}
    for name, file in files.items():
        pairs = read_pairs(file)
        prompts = encode_pairs(tokenizer, pairs, settings.max_length)
        splits[name] = Split([pair.id for pair in pairs], prompts, [pair.label for pair in pairs])
    model = build_classifier(BACKBONE, 2, settings.pooling, settings.dropout, settings.head_dropout)
    inputs = [train, DATA, ROBUSTNESS]
    fine_tune("paraphrase", row, settings, model, splits, cross_entropy.loss, inputs, "Predicted_Is_Paraphrase")


if __name__ == "__main__":
    stage_main(main)
