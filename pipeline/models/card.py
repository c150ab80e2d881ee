"""The README of a model folder: what it is, what it was trained on, how it was selected, how to load it."""

from pathlib import Path

from pipeline.config.training import PoemPrefix, Training
from pipeline.files import read_json

USES = {
    "sentiment": "sentiment of a sentence or review, class 0 is the worst",
    "paraphrase": "whether two questions ask the same, class 1 is yes",
    "sonnet": "continuing a sonnet from its first three lines",
}


def model_card(task: str, row: str, settings: Training, rows: int, best: Path) -> str:
    """Markdown with a metadata header: `rows` are those of training, `best` is the kept checkpoint with its scores."""
    kind = "CausalLM" if task == "sonnet" else "SequenceClassification"
    scores = f"Its scores on dev are in metrics/{task}/{row}.json, its mistakes in plots/report.html."
    scores = "Scores of the poems that systems write with it are in metrics/sonnets." if task == "sonnet" else scores
    data = f" (data/{train})" if (train := getattr(settings, "train", None)) else ""
    adapted = (best / "adapter_config.json").exists()
    model = f'AutoModelFor{kind}.from_pretrained("models/{"backbone" if adapted else f"{task}/{row}"}")'
    peft = f'\nmodel = PeftModel.from_pretrained(model, "models/{task}/{row}")' if adapted else ""
    folder = "\nThe folder holds an adapter of models/backbone: load it in the project's folder.\n" if adapted else ""
    unset = {"seed"} if settings.seed is None else set()
    tables = (read_json(best / "score.json"), settings.model_dump(exclude=unset))
    selected, parameters = ("\n".join(f"| {key} | {value} |" for key, value in table.items()) for table in tables)
    return f"""---
language: en
library_name: {"peft" if adapted else "transformers"}
pipeline_tag: {"text-generation" if task == "sonnet" else "text-classification"}
tags: [{task}]
---
# {task} / {row}

A language model fine-tuned by the pipeline stage `train_{task}@{row}` for {USES[task]}.
It was trained on {rows:,} rows of the `train` split{data}, and this checkpoint was chosen on the
`select` split, which was carved out of the training file. {scores}

Limits: it has learnt from one corpus with one kind of text, carries the mistakes and prejudices of that corpus and of
the backbone's, and was not tested on anything else. The licences of the data (README of the project) apply to it.

```python
{"from peft import PeftModel" + chr(10) if adapted else ""}from transformers import AutoTokenizer, AutoModelFor{kind}
tokenizer = AutoTokenizer.from_pretrained("models/{task}/{row}")
model = {model}{peft}
```
{folder}{_own_class(settings)}
| at selection | value |
|---|---|
{selected}

| parameter | value |
|---|---|
{parameters}
"""


def _own_class(settings: Training) -> str:
    """Which function of this project loads what transformers' own classes do not."""
    mean, match = getattr(settings, "pooling", "last") == "mean", getattr(settings, "exact_match", False)
    own = ["pools by the mean over the tokens"] * mean + ["marks the tokens that stand in both sentences"] * match
    if isinstance(prefix := getattr(settings, "adapter", None), PoemPrefix) and (prefix.layers or prefix.parts > 1):
        return "\nPlain peft shows its prefix to all of a text: use pipeline.models.adapters.load_language_model.\n"
    does, name = f"{' and '.join(own)}, which transformers' own class does not do", "classifier.load_classifier"
    if getattr(settings, "tasks", None):
        does, name = (
            "is a multi-task attention network, which transformers' class loads without its heads",
            "mtan.load_mtan",
        )
    elif not own:
        return ""
    return f"\nThis row {does}:\nload it with `pipeline.models.{name}(folder)`.\n"
