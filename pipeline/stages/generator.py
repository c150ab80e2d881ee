"""Put the paraphrase generator into models/generator.

    python -m pipeline.stages generator

Reads block `adversarial.generator`, models/backbone and data/prepared/paraphrase; writes models/generator (a
`from_pretrained` folder) and plots/curves/generator (empty unless it was trained here).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.augment.generator import fetch_seq2seq, training_documents
from pipeline.compute.processes import in_processes, rank
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.augmentation import Generator
from pipeline.config.base import check, load_block, load_seed, read_params
from pipeline.config.training import Compute, Training
from pipeline.errors import InputError
from pipeline.files import new_folder
from pipeline.objectives import language_model
from pipeline.text.batches import collate
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import encode_documents
from pipeline.text.tokenizer import copy_tokenizer, load_tokenizer
from pipeline.training.loop import Evaluator, Plan, Rows, scratch_folder, train, write_curves

BACKBONE, OUT, CURVES = Path("models/backbone"), Path("models/generator"), Path("plots/curves/generator")
DATA = PREPARED / "paraphrase"
SELECT_BATCH = 64  # documents


@in_processes
def main(arguments: Sequence[str]) -> None:
    if arguments:
        raise InputError("usage: python -m pipeline.stages generator")
    adversarial = read_params()["adversarial"]
    values = adversarial.get("generator") if isinstance(adversarial, dict) else None
    settings, seed = check(values, Generator, "adversarial.generator"), load_seed()
    compute = load_block("compute", Compute)
    make_deterministic(seed, compute)
    if settings.kind == "lm":
        fine_tune(settings.lm, compute, seed)
    elif rank() == 0:
        with new_folder(OUT) as folder, new_folder(CURVES):
            fetch_seq2seq(settings.seq2seq, folder)


def fine_tune(settings: Training, compute: Compute, seed: int) -> None:
    """Train the backbone to continue a question with its paraphrases; the likeliest on `select` is kept."""
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    tokenizer = load_tokenizer(BACKBONE, settings.max_length)
    documents = {
        name: encode_documents(tokenizer, training_documents(read_pairs(DATA / f"{name}.csv")), settings.max_length)
        for name in ("train", "select")
    }
    run = scratch_folder(
        "adversarial", "generator", [settings.model_dump(), compute.model_dump(), seed], [DATA, BACKBONE]
    )
    model = GPT2LMHeadModel.from_pretrained(
        BACKBONE,
        dtype=torch.get_default_dtype(),
        resid_pdrop=settings.dropout,
        embd_pdrop=settings.dropout,
        attn_pdrop=settings.dropout,
    )
    plan = Plan.of(settings, len(documents["train"]), compute.precision, seed)
    evaluate = select_scores(documents["select"])
    best = train(model, Rows(documents["train"]), language_model.loss, plan, run, evaluate, "select_log_likelihood")[0]
    if rank() > 0:
        return
    with new_folder(OUT) as folder, new_folder(CURVES) as curves:
        shutil.copytree(best, folder, dirs_exist_ok=True)
        copy_tokenizer(BACKBONE, folder)
        write_curves(run, curves)
    shutil.rmtree(run)


def select_scores(documents: Sequence[list[int]]) -> Evaluator:
    """An evaluator that gives the mean log-likelihood, in nats a token, of the held-out positive pairs."""
    ordered = sorted(documents, key=len)

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        total, tokens = 0.0, 0
        for start in range(0, len(ordered), SELECT_BATCH):
            batch = collate([{"input_ids": ids} for ids in ordered[start : start + SELECT_BATCH]])
            count = int((batch["lengths"] - 1).sum())
            device = next(model.parameters()).device
            loss, _ = language_model.loss(model, {name: value.to(device) for name, value in batch.items()})
            total, tokens = total + loss.item() * count, tokens + count
        return {"select_log_likelihood": -total / tokens}

    return evaluate
