"""The README of a model folder: what it is, what it was trained on, how it was selected, how to load it."""

from pathlib import Path

from pipeline.config.training import Training
from pipeline.files import read_json

_LOADING = {
    "sentiment": "AutoModelForSequenceClassification",
    "paraphrase": "AutoModelForSequenceClassification",
    "sonnet": "AutoModelForCausalLM",
}
_USE = {
    "sentiment": "sentiment of a sentence or review, class 0 is the worst",
    "paraphrase": "whether two questions ask the same, class 1 is yes",
    "sonnet": "continuing a sonnet from its first three lines",
}
_SCORES = {
    "sentiment": "Its scores on dev are in metrics/sentiment/{row}.json, its mistakes in plots/report.html.",
    "paraphrase": "Its scores on dev are in metrics/paraphrase/{row}.json, its mistakes in plots/report.html.",
    "sonnet": "Scores of the poems that systems write with it are in metrics/sonnets.",
}
_ADAPTED = "\nThe folder holds an adapter of models/backbone: load it in the project's folder.\n"


def model_card(task: str, row: str, settings: Training, rows: int, best: Path) -> str:
    """Markdown with a metadata header.

    Args:
        rows: of training data.
        best: the kept checkpoint's folder, which holds its scores.
    """
    scores = read_json(best / "score.json")
    parameters = "\n".join(f"| {name} | {value} |" for name, value in settings.model_dump().items())
    selected = "\n".join(f"| {name} | {value} |" for name, value in scores.items())
    adapted = (best / "adapter_config.json").exists()
    loading = f"""from transformers import AutoTokenizer, {_LOADING[task]}
tokenizer = AutoTokenizer.from_pretrained("models/{task}/{row}")
model = {_LOADING[task]}.from_pretrained("models/{"backbone" if adapted else f"{task}/{row}"}")"""
    if adapted:
        loading = f"""from peft import PeftModel
{loading}
model = PeftModel.from_pretrained(model, "models/{task}/{row}")"""
    return f"""---
language: en
library_name: {"peft" if adapted else "transformers"}
pipeline_tag: {"text-generation" if task == "sonnet" else "text-classification"}
tags: [gpt2, {task}]
---
# {task} / {row}

GPT-2 fine-tuned by the pipeline stage `train_{task}@{row}` for {_USE[task]}.
It was trained on {rows:,} rows of the `train` split{_training_set(settings)}, and this checkpoint was chosen on the
`select` split, which was carved out of the training file. {_SCORES[task].format(row=row)}

Limits: it has learnt from one corpus with one kind of text, carries the mistakes and prejudices of that corpus and of
the backbone's, and was not tested on anything else. The licences of the data (README of the project) apply to it.

```python
{loading}
```
{_ADAPTED if adapted else ""}{_own_class_note(settings)}
| at selection | value |
|---|---|
{selected}

| parameter | value |
|---|---|
{parameters}
"""


def _training_set(settings: Training) -> str:
    train = getattr(settings, "train", None)
    return f" (data/{train})" if train else ""


def _own_class_note(settings: Training) -> str:
    if getattr(settings, "tasks", None):
        return (
            "\nThis row is a multi-task attention network, which transformers' class loads without its heads:\n"
            "load it with `pipeline.models.mtan.MtanClassifier.from_pretrained`.\n"
        )
    mean, match = getattr(settings, "pooling", "last") == "mean", getattr(settings, "exact_match", False)
    own = ["pools by the mean over the tokens"] * mean + ["marks the tokens that stand in both sentences"] * match
    if not own:
        return ""
    return (
        f"\nThis row {' and '.join(own)}, which transformers' own class does not do:\n"
        "load it with `pipeline.models.classifier.GPT2Classifier.from_pretrained`.\n"
    )
