"""Fine-tune one row of the sentiment table.

Reads models/backbone and data/prepared/<dataset>; writes sentiment/<row> under models/, predictions/, plots/curves/.
"""

from functools import partial

from tokenizers import Tokenizer
from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import in_processes
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import CLASSES, Sentiment
from pipeline.models.adapters import add_adapter
from pipeline.models.classifier import build_classifier
from pipeline.objectives import cross_entropy
from pipeline.text.prepared import PREPARED, read_sentences
from pipeline.text.prompts import encode_texts, load_tokenizer
from pipeline.training.fine_tune import Classifier, Split, fine_tune
from pipeline.training.loop import Rows
from pipeline.training.run import BACKBONE


@in_processes
def main(row: str) -> None:
    settings = entry(load_params().sentiment.methods, row, "sentiment.methods")
    tokenizer, data = load_tokenizer(BACKBONE, settings.max_length), PREPARED / settings.dataset
    splits = {}
    for name in ("train", "select", "dev", "test"):
        sentences = read_sentences(data / f"{name}.csv")
        prompts = encode_texts(tokenizer, [sentence.text for sentence in sentences], settings.max_length)
        splits[name] = Split([row.id for row in sentences], prompts, [row.label for row in sentences])
    train = splits.pop("train")
    classifier = Classifier(
        task="sentiment",
        row=row,
        settings=settings,
        new_model=partial(new_model, tokenizer, settings),
        rows=Rows(train.prompts, labels=train.labels),
        splits=splits,
        objective=partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0)),
        start=BACKBONE,
        inputs=[data],
    )
    fine_tune(classifier, settings.seeds)


def new_model(tokenizer: Tokenizer, settings: Sentiment) -> PreTrainedModel:
    """A fresh classifier on the backbone, of which `mode` says what is trained."""
    classes, mode = CLASSES[settings.dataset], settings.mode
    model = build_classifier(BACKBONE, classes, "last", settings.dropout, settings.head_dropout, mode == "head")
    return model if isinstance(mode, str) else add_adapter(model, mode, ["score"], tokenizer)
