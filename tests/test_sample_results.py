"""The committed results of the sample show what each method does: rows learn, and choosing among samples gains."""

from typing import Any

import pytest
from ruamel.yaml import YAML
from small_project import REPOSITORY

from pipeline.files import read_json

PARAMS = YAML(typ="safe").load(REPOSITORY / "profiles/sample.yaml")
DATA = read_json(REPOSITORY / "metrics/data.json")
MARGIN = 0.05  # of accuracy
CHRF_MARGIN = 10
SAMPLERS = ("top_p", "top_k", "min_p", "epsilon")


def metrics(task: str, row: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(REPOSITORY / f"metrics/{task}/{row}.json")
    return found


def beats(row: dict[str, Any], floor: float) -> bool:
    """By the margin, and with an interval that excludes the floor."""
    return bool(row["accuracy"] >= floor + MARGIN and row["accuracy_low"] > floor)


# A prefix before a frozen backbone of width 64 learns next to nothing.
@pytest.mark.parametrize(
    "row", [row for row in PARAMS["paraphrase"]["methods"] if row != "prefix" and not row.endswith("_as_reported")]
)
def test_a_paraphrase_row_beats_what_needs_no_model(row: str) -> None:
    floors = DATA["paraphrase"]["dev"]
    assert beats(metrics("paraphrase", row), max(floors["majority"], floors["word_overlap"]))


@pytest.mark.parametrize(
    "row", [row for row, entry in PARAMS["sentiment"]["methods"].items() if entry["mode"] == "full"]
)
def test_a_full_sentiment_row_beats_the_majority(row: str) -> None:
    dataset = PARAMS["sentiment"]["methods"][row]["dataset"]
    assert beats(metrics("sentiment", row), DATA[dataset]["dev"]["majority"])


def test_choosing_among_samples_gains() -> None:
    sampled, by_line = metrics("sonnets", "sampled_mbr"), metrics("sonnets", "line_mbr")
    assert sampled["chrf_mean"] > sampled["pool_chrf"]
    assert by_line["chrf_mean"] > sampled["chrf_mean"]


@pytest.mark.parametrize(
    "system",
    [
        name
        for name, entry in PARAMS["sonnet"]["systems"].items()
        if entry["decoder"] in SAMPLERS and entry["model"] != "backbone"
    ],
)
def test_a_tuned_sampler_beats_the_untuned_one_and_the_prompt(system: str) -> None:
    found = metrics("sonnets", system)["chrf_mean"]
    assert found > metrics("sonnets", "top_p_untuned")["chrf_mean"]
    assert found >= metrics("sonnets", "floors")["prompt_only_chrf"] + CHRF_MARGIN
