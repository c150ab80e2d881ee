"""Fine-tune one row of the paraphrase table.

Reads the row's start (models/backbone or models/first_stage/<name>), its training set, data/prepared/paraphrase and the
held-out pairs of data/prepared/ap_h, and for rows with `tasks` data/prepared/etpc and sst; writes paraphrase/<row>
under models/, predictions/, plots/curves/.
"""

from functools import partial
from pathlib import Path

from pipeline.compute.processes import in_processes
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import objective_of
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import encode_pairs, load_tokenizer, swap
from pipeline.training.fine_tune import Classifier, Split, fine_tune
from pipeline.training.pair_rows import new_classifier, training_rows


@in_processes
def main(row: str) -> None:
    key, data, robustness = "paraphrase.methods", PREPARED / "paraphrase", PREPARED / "ap_h"
    settings = entry(load_params().paraphrase.methods, row, key)
    start = Path("models") / settings.start
    tokenizer = load_tokenizer(start, settings.max_length)
    objective, options = objective_of(settings, f"{key}.{row}")
    rows_of = partial(training_rows, tokenizer, settings, objective.VIEWS)
    splits = {}
    files = {name: data / f"{name}.csv" for name in ("select", "dev", "test")} | {"ap_h": robustness / "dev.csv"}
    for name, file in files.items():
        pairs = read_pairs(file)
        encode = partial(encode_pairs, tokenizer, max_length=settings.max_length, prompt=settings.prompt)
        prompts, swapped = (encode(order) for order in (pairs, swap(pairs)))
        splits[name] = Split([pair.id for pair in pairs], prompts, [pair.label for pair in pairs], swapped)
    classifier = Classifier(
        task="paraphrase",
        row=row,
        settings=settings,
        new_model=partial(new_classifier, start, tokenizer, settings),
        rows=rows_of(),
        splits=splits,
        objective=partial(objective.loss, options=options),
        start=start,
        inputs=[Path("data") / settings.train, data, robustness, *(PREPARED / task for task in settings.tasks)],
        both_orders=settings.orders == "both",
        select_on=settings.select_on,
        everything=rows_of(also=[data / "select.csv"]) if settings.train_on_select else None,
    )
    fine_tune(classifier, settings.seeds)
