"""Fine-tune one row of the paraphrase table.

    python -m pipeline.stages train_paraphrase <row>

Reads the row's start (models/backbone or models/first_stage/<name>), its training set, data/prepared/paraphrase and the
held-out pairs of data/prepared/ap_h, and for rows with `tasks` data/prepared/etpc and sst; writes paraphrase/<row>
under models/, predictions/, plots/curves/.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import in_processes
from pipeline.config.objective import check_options, load_objective
from pipeline.config.paraphrase import load_paraphrase
from pipeline.errors import one_argument
from pipeline.evaluation.predictions import PARAPHRASE_HEADER
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import encode_pairs, swap
from pipeline.text.tokenizer import load_tokenizer
from pipeline.training.fine_tune import Split, fine_tune
from pipeline.training.pair_rows import new_classifier, training_rows

DATA, ROBUSTNESS = PREPARED / "paraphrase", PREPARED / "ap_h"


@in_processes
def main(arguments: Sequence[str]) -> None:
    row = one_argument(arguments, "row")
    settings = load_paraphrase(row)
    start = Path("models") / settings.start
    tokenizer = load_tokenizer(start, settings.max_length)
    objective = load_objective(settings.objective, "objective")
    options = check_options(objective, settings.options, "options")
    rows = training_rows(tokenizer, settings, objective.VIEWS)
    splits = {}
    files = {name: DATA / f"{name}.csv" for name in ("select", "dev", "test")} | {"ap_h": ROBUSTNESS / "dev.csv"}
    for name, file in files.items():
        pairs = read_pairs(file)
        prompts, swapped = (encode_pairs(tokenizer, order, settings.max_length) for order in (pairs, swap(pairs)))
        splits[name] = Split([pair.id for pair in pairs], prompts, [pair.label for pair in pairs], swapped)
    fine_tune(
        "paraphrase",
        row,
        settings,
        lambda: cast(PreTrainedModel, new_classifier(start, tokenizer, settings)),
        rows,
        splits,
        partial(objective.loss, options=options),
        start,
        [Path("data") / settings.train, DATA, ROBUSTNESS, *(PREPARED / task for task in settings.tasks)],
        PARAPHRASE_HEADER,
        settings.orders == "both",
        settings.seeds,
    )
