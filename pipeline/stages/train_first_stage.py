"""Train a first stage: a backbone that rows of the paraphrase table start from.

Reads models/backbone and the stage's training set; writes models/first_stage/<name>, a folder like models/backbone, and
plots/curves/first_stage/<name>. The last step's weights are kept: what a first stage is good for shows in the second.
"""

from functools import partial
from pathlib import Path

from pipeline.compute.processes import in_processes, rank
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import objective_of
from pipeline.models.backbone import load_backbone, save_weights
from pipeline.models.decoder import base_of
from pipeline.text.prompts import copy_tokenizer, load_tokenizer
from pipeline.training.pair_rows import new_classifier, training_rows
from pipeline.training.run import BACKBONE, Run


@in_processes
def main(name: str) -> None:
    key = "paraphrase.first_stages"
    settings = entry(load_params().paraphrase.first_stages, name, key)
    run = Run(f"first_stage/{name}", settings, [Path("data") / settings.train, BACKBONE])
    tokenizer = load_tokenizer(BACKBONE, settings.max_length)
    objective, options = objective_of(settings, f"{key}.{name}")
    rows = training_rows(tokenizer, settings, objective.VIEWS)
    model = new_classifier(BACKBONE, tokenizer, settings)
    run.train(model, rows, partial(objective.loss, options=options))
    if rank() > 0:
        return
    with run.outputs() as folder:
        backbone = load_backbone(BACKBONE)
        base_of(backbone).load_state_dict(base_of(model).state_dict())
        save_weights(backbone, folder)
        copy_tokenizer(BACKBONE, folder)
