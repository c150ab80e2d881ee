"""Fine-tune one row of the paraphrase table.

    python -m pipeline.stages.train_paraphrase <row>

Reads models/backbone and data/prepared/paraphrase; writes paraphrase/<row> under models/, predictions/, plots/curves/.
"""

from collections.abc import Sequence

from pipeline.classification import BACKBONE, Split, fine_tune
from pipeline.config.base import load_row, load_seed
from pipeline.config.paraphrase import Paraphrase
from pipeline.determinism import make_deterministic
from pipeline.errors import one_argument, stage_main
from pipeline.models.classifier import build_classifier
from pipeline.objectives import cross_entropy
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import encode_pairs
from pipeline.text.tokenizer import load_tokenizer

DATA = PREPARED / "paraphrase"


def main(arguments: Sequence[str]) -> None:
    row = one_argument(arguments, "row")
    settings = load_row("paraphrase", "methods", row, Paraphrase)
    make_deterministic(load_seed())
    tokenizer = load_tokenizer(BACKBONE)
    splits = {}
    for name in ("train", "select", "dev", "test"):
        pairs = read_pairs(DATA / f"{name}.csv")
        prompts = encode_pairs(tokenizer, pairs, settings.max_length)
        splits[name] = Split([pair.id for pair in pairs], prompts, [pair.label for pair in pairs])
    model = build_classifier(BACKBONE, 2, settings.pooling, settings.dropout, settings.head_dropout)
    fine_tune("paraphrase", row, settings, model, splits, cross_entropy.loss, DATA, "Predicted_Is_Paraphrase")


if __name__ == "__main__":
    stage_main(main)
