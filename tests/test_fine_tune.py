"""What a classification row leaves behind: predictions of several seeds, and a model that loads as its card says."""

import shutil
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from small_project import REPOSITORY, contents
from tiny import TEXT, tiny_tokenizer, write_backbone
from torch import Tensor, nn

from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.evaluation.classification import scores, seed_scores
from pipeline.evaluation.predictions import read_predictions
from pipeline.objectives import cross_entropy
from pipeline.training.fine_tune import Classifier, Split, fine_tune
from pipeline.training.loop import Rows
from pipeline.training.pair_rows import new_classifier

TOKENIZER = tiny_tokenizer()
PROMPTS = [TOKENIZER.encode(text[:size]).ids for text in TEXT for size in (30, 50, 70)]
LABELS = [index % 2 for index in range(len(PROMPTS))]
SPLIT = Split([str(index) for index in range(len(PROMPTS))], PROMPTS, list(LABELS))


def set_params(**changes: Any) -> None:  # noqa: ANN401 - values of params.yaml
    """params.yaml of the current folder: that of the sample with a short baseline and these changes to it."""
    params = YAML(typ="safe").load(REPOSITORY / "profiles/sample.yaml")
    params["seed"], params["paraphrase"]["ensembles"] = changes.pop("seed", 3), {}
    baseline = {"epochs": 2, "batch_size": 4, "checkpoint_steps": 2, "seeds": [], **changes}
    params["paraphrase"]["methods"]["baseline"].update(baseline)
    with open("params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)


class Killed(Exception):
    """What ends a run in the middle."""


def train_baseline(killed_at: int = 0, everything: Rows | None = None) -> int:
    """Fine-tune the row; the number of steps that it took, or of those before it is killed."""
    steps = 0

    def objective(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        nonlocal steps
        steps += 1
        if steps == killed_at:
            raise Killed
        return cross_entropy.loss(model, batch, cross_entropy.Options(label_smoothing=0.0))

    settings, backbone = load_params().paraphrase.methods["baseline"], Path("models/backbone")
    new_model, rows = partial(new_classifier, backbone, TOKENIZER, settings), Rows(PROMPTS, labels=LABELS)
    splits = dict.fromkeys(("select", "dev", "test"), SPLIT)
    row = Classifier(
        "paraphrase", "baseline", settings, new_model, rows, splits, objective, backbone, [],
        everything=everything,
    )  # fmt: skip
    fine_tune(row, settings.seeds)
    return steps


def test_each_seed_gives_what_it_gives_alone_even_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_backbone(Path("models/backbone"))
    predictions, alone = Path("predictions/paraphrase/baseline"), {}
    for seed in (3, 7, 8):
        set_params(seed=seed)
        steps = train_baseline()
        alone[seed] = contents(predictions)
        if seed == 3:
            model, curves = contents(Path("models")), contents(Path("plots"))
    assert len({files["dev.csv"] for files in alone.values()}) == 3
    assert alone[3].keys() == {"select.csv", "dev.csv", "test.csv", "submission.csv"}

    set_params(seeds=[7, 8])
    with pytest.raises(Killed):
        train_baseline(killed_at=2 * steps + 2)  # in the training with the last seed
    assert train_baseline() < 2 * steps, "what was done was done again"
    for seed in (7, 8):
        assert contents(predictions / f"seed_{seed}") == alone[seed]
        shutil.rmtree(predictions / f"seed_{seed}")
    assert contents(predictions) == alone[3]
    assert contents(Path("plots")) == curves
    weights = "paraphrase/baseline/model.safetensors"
    assert contents(Path("models"))[weights] == model[weights]
    assert not list(Path("checkpoints").rglob("*.safetensors")), "scratch is deleted on success"


def test_the_final_model_has_seen_select_and_does_not_answer_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_backbone(Path("models/backbone"))
    set_params()
    table, model = Path("predictions/paraphrase/baseline"), Path("models/paraphrase/baseline/model.safetensors")
    once = train_baseline()
    chosen, weights = contents(table), model.read_bytes()
    everything = Rows(PROMPTS * 2, labels=LABELS * 2)
    assert train_baseline(everything=everything) == 3 * once  # twice the rows, after the first training
    final, known = contents(table), model.read_bytes()
    assert final["select.csv"] == chosen["select.csv"]
    assert final["dev.csv"] != chosen["dev.csv"] and known != weights
    with pytest.raises(Killed):
        train_baseline(killed_at=once + 3, everything=everything)
    assert train_baseline(everything=everything) < 2 * once, "what was done was done again"
    assert contents(table) == final and model.read_bytes() == known
    assert not list(Path("checkpoints").rglob("*.safetensors")), "scratch is deleted on success"


@pytest.mark.parametrize("adapter", [None, "lora"], ids=str)
def test_the_model_loads_as_its_card_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapter: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    write_backbone(Path("models/backbone"))
    set_params(lr=0.01, adapter=adapter, r=adapter and 4, targets=adapter and ["attention"])
    train_baseline()
    card = Path("models/paraphrase/baseline/README.md").read_text()
    assert f"trained on {len(PROMPTS)} rows" in card and "| select_accuracy |" in card
    assert "| lr | 0.01 |" in card and "Limits:" in card
    names: dict[str, Any] = {}
    exec(card.split("```python")[1].split("```")[0], names)
    model, dev = names["model"].eval(), read_predictions(Path("predictions/paraphrase/baseline/dev.csv"))
    assert names["tokenizer"](TEXT[0])["input_ids"] == TOKENIZER.encode(TEXT[0]).ids
    for prompt, expected in zip(PROMPTS, dev.probabilities.tolist(), strict=True):
        with torch.no_grad():
            found = model(torch.tensor([prompt])).logits.softmax(1)[0]
        assert found.tolist() == pytest.approx(expected, abs=2e-6)


def test_the_spread_is_that_of_students_t(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = []
    for number, right in enumerate((6, 7, 9)):
        lines = [
            f"{row},{row % 2},{int(row % 2 != (row < right))}.0,{int(row % 2 == (row < right))}.0" for row in range(10)
        ]
        Path(f"{number}.csv").write_text("\n".join(["id,label,p_0,p_1", *lines]) + "\n")
        runs.append(read_predictions(Path(f"{number}.csv")))
    accuracies = [scores(run, 10, 0.95, 0)["accuracy"] for run in runs]
    found = seed_scores(runs, 0.95)
    assert found["seeds"] == 3
    assert found["seeds_accuracy"] == pytest.approx(statistics.mean(accuracies))
    assert found["seeds_accuracy_sd"] == pytest.approx(statistics.stdev(accuracies))
    margin = 4.302652729911275 * statistics.stdev(accuracies) / 3**0.5  # the 0.975 quantile of t with 2 degrees
    assert found["seeds_accuracy_high"] - found["seeds_accuracy"] == pytest.approx(margin)
    assert found["seeds_accuracy"] - found["seeds_accuracy_low"] == pytest.approx(margin)


@pytest.mark.parametrize("seeds", [[3], [5, 5], [-1], [2**32], ["one"]], ids=str)
def test_a_seed_that_cannot_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: list[Any]) -> None:
    monkeypatch.chdir(tmp_path)
    set_params(seeds=seeds)
    with pytest.raises(InputError, match=r"params.yaml: paraphrase.methods.baseline.*seeds"):
        load_params()
