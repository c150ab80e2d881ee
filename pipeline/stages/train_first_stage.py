"""Train a first stage: a backbone that rows of the paraphrase table start from.

    python -m pipeline.stages train_first_stage <name>

Reads models/backbone and the stage's training set; writes models/first_stage/<name>, a folder like models/backbone, and
plots/curves/first_stage/<name>. The last step's weights are kept: what a first stage is good for shows in the second.
"""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import torch
from transformers.modeling_utils import PreTrainedModel
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.compute.processes import in_processes, rank
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import load_block, load_seed
from pipeline.config.objective import check_options, load_objective
from pipeline.config.paraphrase import load_paraphrase
from pipeline.config.training import Compute
from pipeline.errors import one_argument
from pipeline.files import new_folder
from pipeline.models.weights import save_weights
from pipeline.text.tokenizer import copy_tokenizer, load_tokenizer
from pipeline.training.loop import Plan, scratch_folder, train, write_curves
from pipeline.training.pair_rows import new_classifier, training_rows

BACKBONE = Path("models/backbone")


@in_processes
def main(arguments: Sequence[str]) -> None:
    name = one_argument(arguments, "first stage")
    settings = load_paraphrase(name, "first_stages")
    seed, compute = load_seed(), load_block("compute", Compute)
    make_deterministic(seed, compute)
    tokenizer = load_tokenizer(BACKBONE, settings.max_length)
    objective = load_objective(settings.objective, "objective")
    options = check_options(objective, settings.options, "options")
    rows = training_rows(tokenizer, settings, objective.VIEWS)
    inputs = [Path("data") / settings.train, BACKBONE]
    run = scratch_folder("first_stage", name, [settings.model_dump(), compute.model_dump(), seed], inputs)
    plan = Plan.of(settings, len(rows), compute.precision, seed)
    model = cast(PreTrainedModel, new_classifier(BACKBONE, tokenizer, settings))
    train(model, rows, partial(objective.loss, options=options), plan, run)
    if rank() > 0:
        return
    with (
        new_folder(Path("models/first_stage") / name) as folder,
        new_folder(Path("plots/curves/first_stage") / name) as curves,
    ):
        backbone = GPT2LMHeadModel.from_pretrained(BACKBONE, dtype=torch.get_default_dtype())
        backbone.transformer.load_state_dict(model.transformer.state_dict())
        save_weights(backbone, folder)
        copy_tokenizer(BACKBONE, folder)
        write_curves(run, curves)
    shutil.rmtree(run)
