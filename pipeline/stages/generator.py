"""Put the paraphrase generator into models/generator.

Reads block `adversarial.generator`, models/backbone and data/prepared/paraphrase; writes models/generator (a
`from_pretrained` folder) and plots/curves/generator (empty unless it was trained here).
"""

import shutil
from collections.abc import Sequence

from transformers.modeling_utils import PreTrainedModel

from pipeline.augment.generator import fetch_seq2seq, training_documents
from pipeline.compute.processes import in_processes, rank
from pipeline.config.params import load_params
from pipeline.models.backbone import load_backbone
from pipeline.objectives import language_model
from pipeline.text.batches import collate
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import copy_tokenizer, encode_documents, load_tokenizer
from pipeline.training.loop import Evaluator, Rows
from pipeline.training.run import BACKBONE, Run

DATA = PREPARED / "paraphrase"
SELECT_BATCH = 64  # documents


@in_processes
def main() -> None:
    settings = load_params().adversarial.generator
    run, trains = Run("generator", settings.lm, [DATA, BACKBONE]), settings.kind == "lm"
    if trains:
        longest = settings.lm.max_length
        tokenizer = load_tokenizer(BACKBONE, longest)
        train, select = (
            encode_documents(tokenizer, training_documents(read_pairs(DATA / f"{name}.csv")), longest)
            for name in ("train", "select")
        )
        model = load_backbone(BACKBONE, settings.lm.dropout)
        best = run.train(model, Rows(train), language_model.loss, select_scores(select))[0]
    if rank() > 0:
        return
    with run.outputs() as folder:
        if trains:
            shutil.copytree(best, folder, dirs_exist_ok=True)
            copy_tokenizer(BACKBONE, folder)
        elif settings.kind == "backbone":
            shutil.copytree(BACKBONE, folder, dirs_exist_ok=True)
        else:
            fetch_seq2seq(settings.seq2seq, folder)


def select_scores(documents: Sequence[list[int]]) -> Evaluator:
    """An evaluator that gives the mean log-likelihood, in nats a token, of the held-out positive pairs."""
    ordered = sorted(documents, key=len)

    def evaluate(model: PreTrainedModel) -> dict[str, float]:
        total, tokens = 0.0, 0
        for start in range(0, len(ordered), SELECT_BATCH):
            batch = collate([{"input_ids": ids} for ids in ordered[start : start + SELECT_BATCH]])
            count = int((batch["lengths"] - 1).sum())
            loss, _ = language_model.loss(model, {name: value.to(model.device) for name, value in batch.items()})
            total, tokens = total + loss.item() * count, tokens + count
        return {"select_log_likelihood": -total / tokens}

    return evaluate
