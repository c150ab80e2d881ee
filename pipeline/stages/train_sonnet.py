"""Fine-tune one sonnet model.

Reads models/backbone and data/prepared/sonnets; writes models/sonnet/<row> (the best checkpoint, and the others that
were kept in its sub-folders second, third, ...) and plots/curves/sonnet/<row>. Checkpoints are ranked by the chrF of
sampled continuations of held-out training sonnets (`select`), never of the dev poems.
"""

import shutil
from typing import TYPE_CHECKING

from tokenizers import Tokenizer
from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import in_processes, rank
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.sonnet import CHECKPOINTS, Sonnet
from pipeline.decoding.top_p import top_p
from pipeline.decoding.writer import Writer
from pipeline.evaluation.chrf import chrf
from pipeline.evaluation.generation import full_text
from pipeline.files import write_text
from pipeline.models.adapters import add_adapter
from pipeline.models.backbone import load_backbone
from pipeline.models.card import model_card
from pipeline.objectives import language_model
from pipeline.text.batches import collate
from pipeline.text.prepared import PREPARED, Poem, read_poems
from pipeline.text.prompts import copy_tokenizer, encode_documents, load_tokenizer
from pipeline.training.loop import Evaluator, Rows
from pipeline.training.run import BACKBONE, Run

if TYPE_CHECKING:
    from peft import PeftModel


@in_processes
def main(row: str) -> None:
    settings, data = entry(load_params().sonnet.methods, row, "sonnet.methods"), PREPARED / "sonnets"
    run = Run(f"sonnet/{row}", settings, [data, BACKBONE])
    tokenizer = load_tokenizer(BACKBONE, settings.max_length)
    poems, select = (read_poems(data / f"{name}.jsonl") for name in ("train", "select"))
    documents = encode_documents(tokenizer, [full_text(poem) for poem in poems], settings.max_length)
    model, evaluate = language_model_of(settings, tokenizer), select_scores(tokenizer, select, settings, run.seed)
    kept = run.train(model, Rows(documents), language_model.loss, evaluate, settings.keep)
    if rank() > 0:
        return
    with run.outputs() as folder:
        for name, checkpoint in zip(CHECKPOINTS, kept, strict=False):
            shutil.copytree(checkpoint, folder / name, dirs_exist_ok=True)
            copy_tokenizer(BACKBONE, folder / name)
        write_text(folder / "README.md", model_card("sonnet", row, settings, len(documents), kept[0]))


def language_model_of(settings: Sonnet, tokenizer: Tokenizer) -> "PreTrainedModel | PeftModel":
    """The backbone, all of it or an adapter on it to be trained."""
    model, adapter = load_backbone(BACKBONE, settings.dropout), settings.adapter
    return add_adapter(model, adapter, (), tokenizer) if adapter else model


def select_scores(tokenizer: Tokenizer, select: list[Poem], settings: Sonnet, seed: int) -> Evaluator:
    """An evaluator that gives the loss and the mean chrF of sampled continuations on the held-out sonnets."""
    texts = [full_text(poem) for poem in select]
    rows = encode_documents(tokenizer, texts, settings.max_length)

    def evaluate(model: PreTrainedModel) -> dict[str, float]:
        batch = {name: value.to(model.device) for name, value in collate(Rows(rows)).items()}
        loss, _ = language_model.loss(model, batch)
        writer = Writer(model, tokenizer, seed)
        poems = writer.sample(select, settings.select_draws, None, top_p, p=0.9, temperature=1.0)
        score = chrf([poem.text for poem in poems], texts * settings.select_draws)
        return {"select_loss": loss.item(), "select_chrf": score}

    return evaluate
