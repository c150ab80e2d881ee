"""What the processes of tests/test_distributed.py run: training of several kinds of rows, and writing with systems.

python -m two_processes train|fail|wait   # in a folder with models/backbone, data/prepared and params.yaml
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.compute.processes import gathered, in_processes, rank
from pipeline.errors import InputError, stage_main

OUT = Path("out.pt")
LORA = {"adapter": "lora", "r": 3, "targets": ["attention", "mlp"]}
PREFIX = {"kind": "prefix", "tokens": 3, "projection": True, "hidden": 8, "layers": 1, "init": None}
MTAN = {"tasks": ["sst"], "train": "prepared/few"}
ROWS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # objective, its options, parameters of the row
    "baseline": ("cross_entropy", {"label_smoothing": 0.1}, {"pooling": "mean"}),
    "averaged": ("cross_entropy", {"label_smoothing": 0.1}, {"ema": 0.6, "soup": 2}),
    "symmetric": ("symmetric", {"alpha": 1.0}, {"exact_match": True}),
    "simcse_supervised": ("simcse_supervised", {"temperature": 0.1}, {}),
    "lora": ("r_drop", {"alpha": 1.0}, LORA),
    "prefix_pairs": ("r_drop", {"alpha": 1.0}, {"adapter": PREFIX}),
    "mtan": ("multitask", {"weighting": "dwa", "temperature": 2.0, "interval": 2}, MTAN),
}  # fmt: skip
SYSTEMS: dict[str, dict[str, Any]] = {
    "top_p": {"temperature": 1.0, "draws": 3},
    "contrastive_search": {"k": 3, "alpha": 0.5, "no_repeat_ngram": 3},
    "contrastive_decoding": {},
    "beam_mbr": {"no_repeat_ngram": 3},
}


@in_processes
def main(arguments: Sequence[str]) -> None:
    if arguments == ["fail"]:
        raise InputError("something\nis wrong")
    if arguments == ["wait"]:
        Path(f"waiting_{rank()}").touch()
        gathered(None)
        time.sleep(100)
    import torch

    found = {"trained": trained(Path("two")), "written": written(), "places": gathered(rank())}
    if rank() == 0:
        torch.save(found, OUT)


def trained(scratch: Path) -> dict[str, dict[str, Any]]:
    """By row: weights after two epochs of four batches, the last of one pair, and the predictions they give."""
    import torch

    from pipeline.compute.reproducible import make_deterministic
    from pipeline.config.training import Compute

    torch.set_num_threads(1)
    found = {}
    for name, (objective, options, values) in ROWS.items():
        make_deterministic(5, Compute(precision="fp32", threads=1, processes=1))
        found[name] = _classifier(scratch / name, objective, options, values)
    for name, adapter in {"sonnet": None, "prefix": PREFIX | {"parts": 4}}.items():
        make_deterministic(5, Compute(precision="fp32", threads=1, processes=1))
        found[name] = _language_model(scratch / name, adapter)
    return found


def _classifier(scratch: Path, objective: str, options: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    from tiny import tiny_tokenizer

    from pipeline.config.base import method
    from pipeline.config.tasks import Paraphrase
    from pipeline.text.prepared import read_pairs
    from pipeline.text.prompts import encode_pairs
    from pipeline.training.fine_tune import Split, probabilities, select_scores
    from pipeline.training.pair_rows import new_classifier, training_rows

    settings = Paraphrase.model_validate(
        {
            "train": "prepared/few", "start": "backbone", "objective": objective, "options": options,
            "pooling": "last", "head": "linear", "exact_match": False, "adapter": None, "r": None, "targets": None,
            "tasks": [], "seeds": [], "orders": "one",
            "prompt": "ours", "select_on": "select", "train_on_select": False, "adapter_dropout": None,
            "task_share": 0.25, "fresh_lr": None, "lr": 0.01, "epochs": 2, "batch_size": 4, "schedule": "linear",
            "warmup": 0.0, "weight_decay": 0.1, "max_grad_norm": 0.5, "dropout": 0.0, "head_dropout": 0.0,
            "max_length": 90, "evaluations_per_epoch": 1, "checkpoint_steps": 3, "ema": None, "soup": 1, "seed": None,
        } | values
    )  # fmt: skip
    tokenizer, loss = tiny_tokenizer(), method("objectives", objective)
    rows = training_rows(tokenizer, settings, loss.VIEWS)
    pairs = read_pairs(Path("data/prepared/paraphrase/select.csv"))
    prompts, labels = encode_pairs(tokenizer, pairs, 90), [pair.label for pair in pairs]
    select = Split([pair.id for pair in pairs], prompts, labels)
    model: Any = new_classifier(Path("models/backbone"), tokenizer, settings)
    function = partial(loss.loss, options=loss.Options(**options))
    evaluate = select_scores(select, "fp32", False)
    metrics = _train(model.double(), rows, function, settings, scratch, evaluate)
    return metrics | {"probabilities": probabilities(model, select, "fp32", False)[0]}


def _language_model(scratch: Path, adapter: dict[str, Any] | None) -> dict[str, Any]:
    from tiny import tiny_tokenizer

    from pipeline.config.sonnet import Sonnet
    from pipeline.objectives import language_model
    from pipeline.stages.train_sonnet import language_model_of, select_scores
    from pipeline.text.prepared import read_poems
    from pipeline.text.prompts import encode_documents
    from pipeline.training.loop import Rows

    settings = Sonnet.model_validate(
        {
            "adapter": adapter, "keep": 1, "select_draws": 1, "lr": 0.01, "epochs": 2, "batch_size": 4,
            "schedule": "linear", "warmup": 0.0, "weight_decay": 0.1, "max_grad_norm": 0.5, "dropout": 0.0,
            "max_length": 60, "evaluations_per_epoch": 1, "checkpoint_steps": 3, "ema": None, "soup": 1, "seed": None,
        }
    )  # fmt: skip
    tokenizer = tiny_tokenizer()
    poems = read_poems(Path("data/prepared/sonnets/select.jsonl"))[:13]
    texts = [(poem.text or "")[: 60 + 5 * number] for number, poem in enumerate(poems)]
    rows = Rows(encode_documents(tokenizer, texts, settings.max_length))
    model: Any = language_model_of(settings, tokenizer).double()
    evaluate = select_scores(tokenizer, poems[:3], settings, 5)
    return _train(model, rows, language_model.loss, settings, scratch, evaluate)


def _train(
    model: Any,  # noqa: ANN401 - of several classes
    rows: Any,  # noqa: ANN401
    objective: Callable[..., Any],
    settings: Any,  # noqa: ANN401
    scratch: Path,
    evaluate: Callable[..., dict[str, float]],
) -> dict[str, Any]:
    """float64: AdamW makes whole steps of gradients that are nothing but rounding."""
    from pipeline.training.loop import train

    assert len(rows) % settings.batch_size == 1
    kept = train(model, rows, objective, settings, scratch, 5, "fp32", evaluate)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    curves = {path.name: path.read_text() for path in sorted((scratch / "curves").glob("*.tsv"))}
    return {"weights": weights, "metrics": evaluate(model.eval()), "best": kept[0].name, "curves": curves}


def written() -> dict[str, Any]:
    """By system: poems with their likelihoods, and the candidates; and the predictions of a fresh classifier."""
    import torch
    from tiny import combined, options, tiny_tokenizer
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    from pipeline.decoding.writer import Writer, encode_prompts, with_nll
    from pipeline.models.classifier import build_classifier
    from pipeline.models.output import Mixture
    from pipeline.text.prepared import read_poems
    from pipeline.training.predict import predict

    model = GPT2LMHeadModel.from_pretrained("models/backbone").eval()
    poems = read_poems(Path("data/prepared/sonnets/dev.jsonl"))[:5]
    tokenizer, found = tiny_tokenizer(), {}
    for name, values in SYSTEMS.items():
        system = options(name, **values)
        texts, pool = system.module.write(Writer(model, tokenizer, 5, amateur=lambda: model), poems, system)
        found[name] = (with_nll(model, tokenizer, texts), pool)
    mixed = Writer(Mixture([model, model], [0.5, 0.5]), tokenizer, 5)
    pooled = Writer(model, tokenizer, 5, candidates=lambda system: found[system][1] or found[system][0])
    found["mixture"] = options("top_p", draws=2).module.write(mixed, poems, options("top_p", draws=2))
    for name in ("pool_mbr", "reranking"):
        system = combined(name, {"top_p": 1.0, "beam_mbr": 2.0})
        system = system.fitted(pooled, poems) if name == "reranking" else system
        found[name] = system.module.write(pooled, poems, system)
    torch.manual_seed(5)
    classifier = build_classifier(Path("models/backbone"), 2, "last", 0.0, 0.0)
    prompts = [prompt[: 15 + 6 * number] for number, prompt in enumerate(encode_prompts(tokenizer, poems, 96))] * 60
    return found | {"predicted": predict(classifier, prompts).tolist()}


if __name__ == "__main__":
    stage_main(main)
