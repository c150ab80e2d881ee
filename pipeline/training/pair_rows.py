"""What every paraphrase row and first stage begins with: its model and its training rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from pipeline.config.tasks import CLASSES, Paraphrase
from pipeline.errors import InputError
from pipeline.models.adapters import add_adapter
from pipeline.models.classifier import Classifier, build_classifier
from pipeline.models.mtan import MtanClassifier, build_mtan
from pipeline.text.prepared import PREPARED, read_pairs, read_sentences
from pipeline.text.prompts import View, answer_tokens, cloze_template, encode_pairs, encode_texts, encode_views
from pipeline.training.loop import Rows

if TYPE_CHECKING:
    from peft import PeftModel


def new_classifier(start: Path, tokenizer: Tokenizer, settings: Paraphrase) -> Classifier | MtanClassifier | PeftModel:
    """A fresh classifier of pairs on the backbone in `start`: with an adapter, with other tasks, or plain."""
    dropouts = settings.dropout, settings.head_dropout
    if settings.tasks:
        return build_mtan(start, {task: CLASSES[task] for task in ("qqp", *settings.tasks)}, *dropouts)
    answers = answer_tokens(tokenizer) if settings.head == "cloze" else None
    template = cloze_template(tokenizer) if settings.exact_match else None
    model = build_classifier(start, 2, settings.pooling, *dropouts, answers=answers, template=template)
    return add_adapter(model, adapter, ["score"], tokenizer) if (adapter := settings.parameters()) else model


def training_rows(tokenizer: Tokenizer, settings: Paraphrase, views: Sequence[View], also: Sequence[Path] = ()) -> Rows:
    """The pairs of `settings.train` and `also`, with the views of the objective, and the rows of the other tasks."""
    files = [Path("data") / settings.train / "train.csv", *also]
    pairs = list(chain.from_iterable(map(read_pairs, files)))
    longest, prompt = settings.max_length, settings.prompt
    prompts = encode_pairs(tokenizer, pairs, longest, prompt)
    labels = [pair.label for pair in pairs]
    if not settings.tasks:
        return Rows(prompts, labels=labels, **encode_views(tokenizer, pairs, views, longest, prompt))
    tasks = [0] * len(pairs)
    for number, task in enumerate(settings.tasks, 1):
        path = PREPARED / task / "train.csv"
        if task == "sst":
            sentences = read_sentences(path)
            prompts += encode_texts(tokenizer, [row.text for row in sentences], longest)
            labels += [row.label for row in sentences]
        else:
            others = read_pairs(path)
            prompts += encode_pairs(tokenizer, others, longest, prompt)
            labels += [pair.label for pair in others]
        tasks += [number] * (len(prompts) - len(tasks))
        if number not in tasks:
            raise InputError(f"{path}: no rows, and {settings.train} is to be learnt beside them; leave the row out")
    rows = Rows(prompts, labels=labels, tasks=tasks)
    rows.quotas = settings.quotas()
    return rows
