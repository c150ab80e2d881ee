"""The report names the parameters that are not those of the profile."""

from copy import deepcopy
from pathlib import Path

import pytest

from pipeline.config.base import read_params
from pipeline.errors import InputError
from pipeline.report.changed import changed_parameters

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def params(monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(REPOSITORY)
    return deepcopy(read_params())


def test_the_profile_as_it_is_has_none(params: dict) -> None:
    assert changed_parameters(params).rows == []


def test_changed_new_and_removed_keys(params: dict) -> None:
    params["compute"]["threads"] = None
    params["data"]["path"] = "/home/someone/corpora"
    params["back_translation"]["languages"] = ["es", "fr"]
    params["paraphrase"]["methods"]["mine"] = {"lr": 1e-4}
    del params["text"]["held_out"]
    assert changed_parameters(params).rows == [
        ["compute.threads", "null", "1"],
        ["data.path", "corpora", "data/sample"],
        ["text.held_out", "–", '{"ap_h": 0.333}'],
        ["back_translation.languages", '["es", "fr"]', '["es", "gl", "eo"]'],
        ["paraphrase.methods.mine", '{"lr": 0.0001}', "–"],
    ]


@pytest.mark.parametrize("name", ["mine", "../params", "results"])
def test_an_unknown_profile_is_one_line(params: dict, name: str) -> None:
    with pytest.raises(InputError, match=r"^params.yaml: profile: '.*' has no file in profiles/; expected one of gpt2"):
        changed_parameters(params | {"profile": name})
