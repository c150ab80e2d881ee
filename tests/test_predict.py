"""`python -m pipeline predict` and `sonnet`: saved models give what their training stages gave."""

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from small_project import small_params
from tiny import TEXT, write_backbone, write_prepared
from transformers.modeling_utils import PreTrainedModel

from pipeline.__main__ import main
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.models.backbone import load_weights
from pipeline.models.classifier import build_classifier
from pipeline.stages.train_sentiment import new_model
from pipeline.text.prepared import Pair
from pipeline.text.prompts import copy_tokenizer, encode_pairs, encode_texts, load_tokenizer
from pipeline.training.pair_rows import new_classifier
from pipeline.training.predict import predict as predict_prompts

BACKBONE = Path("models/backbone")
PAIRS = [("How old is it?", "What is its age?"), ("A river, a camera", 'the "old" engine'), ("caf\u00e9", "a")]
ANSWERS = ("no", "yes")  # with a space in front, they begin with one token in the tiny vocabulary
CONTEXT = 96  # tokens that the tiny model takes
PAIR = ("sentence1", "sentence2")
PAIR_ROWS = ["baseline", "mean_pooling", "cloze_head", "lora_r8", "dora_r8", "mtan", "symmetric", "prefix"]


@pytest.fixture(autouse=True)
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    monkeypatch.setattr("pipeline.text.prompts.ANSWERS", ANSWERS)
    return trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with models of random weights, saved as training stages save theirs."""
    folder = tmp_path_factory.mktemp("project")
    params = small_params("course")
    for task in ("paraphrase", "sentiment"):
        params[task]["defaults"]["max_length"] = CONTEXT
    prefix = {**params["paraphrase"]["methods"]["prefix"]["adapter"], "layers": 1}
    params["sentiment"]["methods"]["sst_prefix"] = {"dataset": "sst", "mode": prefix}
    params["paraphrase"]["ensembles"] = {
        "both": {"members": ["baseline", "symmetric"], "weights": "fitted"},
        "seeds": {"members": ["baseline", "baseline@1"], "weights": "equal"},
        "untrained": {"members": ["baseline", "r_drop"], "weights": "equal"},
    }
    with open(folder / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("pipeline.text.prompts.ANSWERS", ANSWERS)
        write_backbone(BACKBONE)
        write_prepared(Path("data/prepared"), rows=3)
        for seed, row in enumerate(PAIR_ROWS):
            save_pair_row(row, seed)
        for row in ("sst_full", "sst_prefix"):
            settings = load_params().sentiment.methods[row]
            save(new_model(load_tokenizer(BACKBONE), settings), Path("models/sentiment") / row, 99)
        write_json(Path("predictions/paraphrase_ensembles/both/weights.json"), {"baseline": 0.25, "symmetric": 0.75})
    return folder


def save_pair_row(row: str, seed: int) -> None:
    model = new_classifier(BACKBONE, load_tokenizer(BACKBONE), load_params().paraphrase.methods[row])
    save(cast(PreTrainedModel, model), Path("models/paraphrase") / row, seed)


def save(model: PreTrainedModel, folder: Path, seed: int) -> None:
    """With all trained weights drawn anew: fresh adapters change nothing."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(folder)
    copy_tokenizer(BACKBONE, folder)


def expected(row: str, pairs: list[tuple[str, str]]) -> np.ndarray:
    """P(yes) as the training stage predicts: the model it has built, with the weights it has saved."""
    parameters, tokenizer = load_params().paraphrase.methods[row], load_tokenizer(BACKBONE)
    model = cast(PreTrainedModel, new_classifier(BACKBONE, tokenizer, parameters))
    load_weights(model, Path("models/paraphrase") / row)
    orders = [pairs] if row != "symmetric" else [pairs, [(second, first) for first, second in pairs]]
    prompts = [encode_pairs(tokenizer, [Pair("", *pair, None) for pair in order], CONTEXT) for order in orders]
    return np.mean([predict_prompts(model, order)[:, 1] for order in prompts], axis=0)


def json_lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    main([*arguments, "--json"])
    printed = capsys.readouterr().out
    assert printed.isascii()  # so that no terminal changes a text
    return [json.loads(line) for line in printed.splitlines()]


def write_pairs(path: Path) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(
            [("id", "sentence1", "sentence2"), *((str(i), *pair) for i, pair in enumerate(PAIRS))]
        )
    return path


@pytest.mark.parametrize("row", PAIR_ROWS)
def test_every_kind_of_row_predicts_what_its_stage_predicts(
    row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = json_lines(capsys, "predict", "paraphrase", "--row", row, "--file", str(write_pairs(tmp_path / "p.csv")))
    probabilities = expected(row, PAIRS)
    assert [(result["sentence1"], result["sentence2"]) for result in results] == PAIRS
    assert [result["probability"] for result in results] == pytest.approx(list(probabilities), abs=1e-6)
    assert [result["class"] for result in results] == [int(value > 0.5) for value in probabilities]
    assert len({result["probability"] for result in results}) == 3


def test_an_ensemble_is_the_weighted_mean_of_its_members(capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = json_lines(capsys, "predict", "paraphrase", "--row", "both", *PAIRS[0])
    first, second = (expected(row, PAIRS[:1])[0] for row in ("baseline", "symmetric"))
    assert first != pytest.approx(second, abs=1e-3)
    assert result["probability"] == pytest.approx(0.25 * first + 0.75 * second, abs=1e-6)


def test_no_seed_can_predict(project: Path) -> None:
    with pytest.raises(InputError, match="ensembles.seeds: no model of baseline@1 is kept; name an ensemble of rows"):
        main(["predict", "paraphrase", "--row", "seeds", *PAIRS[0]])


def test_the_order_of_a_pair_only_matters_without_both_orders(capsys: pytest.CaptureFixture[str]) -> None:
    for row, same in (("symmetric", True), ("baseline", False)):
        (one,) = json_lines(capsys, "predict", "paraphrase", "--row", row, "a red engine", "the songs")
        (other,) = json_lines(capsys, "predict", "paraphrase", "--row", row, "the songs", "a red engine")
        assert (one["probability"] == other["probability"]) == same


def test_the_table_has_normalised_texts_on_one_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "".join(json.dumps({"sentence1": f"a\x1b[31m\n{TEXT[2]}", "sentence2": second}) + "\n" for second in "xy")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    main(["predict", "paraphrase", "--row", "baseline"])
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["P(yes)", "Same", "Sentence", "1", "Sentence", "2"]
    shown = [re.fullmatch(r"(0\.\d{4})  (yes|no) +a\[31m A lovely, .{41}\.\.\.  ([xy])", line) for line in lines]
    assert len(lines) == 2 and all(shown)


@pytest.mark.parametrize("row", ["sst_full", "sst_prefix"])
def test_sentiment(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [TEXT[2], "dull"]
    model = new_model(load_tokenizer(BACKBONE), load_params().sentiment.methods[row])
    load_weights(model, Path("models/sentiment") / row)
    reference = predict_prompts(model, encode_texts(load_tokenizer(BACKBONE), texts, 256))
    results = json_lines(capsys, "predict", "sentiment", "--row", row, *texts)
    assert np.array([result["probabilities"] for result in results]) == pytest.approx(reference, abs=1e-6)
    assert [result["class"] for result in results] == reference.argmax(1).tolist()
    main(["predict", "sentiment", "--row", row, *texts])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(map(str, reference.argmax(1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paraphrase", "--row", "../baseline", "a", "b"], "paraphrase has no entry '../baseline'; it has apt, "),
        (["sentiment", "--row", "none", "a"], "sentiment has no entry 'none'; it has cfimdb_full"),
        (
            ["paraphrase", "--row", "r_drop", "a", "b"],
            r"models/paraphrase/r_drop: no .*`dvc repro train_paraphrase@r_drop`",
        ),
        (["paraphrase", "--row", "untrained", "a", "b"], "models/paraphrase/r_drop: no model"),
        (["paraphrase", "--row", "baseline", "a"], "expected two sentences, .* got 1 sentences"),
        (["paraphrase", "--row", "baseline", "a", " \n"], "row 1: sentence2 is empty"),
        (["sentiment", "--row", "sst_full", "a", "--file", "b"], "got texts and --file"),
        (
            ["sentiment", "--row", "sst_full", "--file", "b.csv"],
            "b.csv: no such file; expected CSV with the header text",
        ),
    ],
)
def test_what_cannot_be_predicted_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        main(["predict", *arguments])
    assert "\n" not in str(caught.value)


def test_models_that_do_not_fit_or_are_damaged_are_named() -> None:
    folder = Path("models/paraphrase/simcse")
    save(build_classifier(BACKBONE, 2, "last", 0.1, 0.1), folder, 1)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damage in (whole[:-1000], b"", Path("models/paraphrase/mtan/model.safetensors").read_bytes()):
        weights.write_bytes(damage)
        with pytest.raises(InputError, match=r"^models/paraphrase/simcse: .*; run `dvc repro \S+@simcse`$"):
            main(["predict", "paraphrase", "--row", "simcse", "a", "b"])
    weights.write_bytes(whole)
    main(["predict", "paraphrase", "--row", "simcse", "a", "b"])
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace(f"max_length: {CONTEXT}", "max_length: 97"))
    with pytest.raises(InputError, match="max_length 97 of simcse: the trained model takes 96 tokens"):
        main(["predict", "paraphrase", "--row", "simcse", "a", "b"])
    Path("params.yaml").write_text(params)


def test_weights_of_other_members_are_refused() -> None:
    path = Path("predictions/paraphrase_ensembles/both/weights.json")
    before = path.read_text()
    write_json(path, {"baseline": 0.5, "mtan": 0.5})
    with pytest.raises(
        InputError, match="its members are not those of params.yaml; run `dvc repro ensemble_paraphrase@both`"
    ):
        main(["predict", "paraphrase", "--row", "both", "a", "b"])
    path.write_text(before)


def test_a_poem_begins_with_its_lines_and_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["A warm song", "of one river", "and away"]
    poems = []
    for seed in ("1", "1", "2"):
        main(["sonnet", "--system", "top_p_untuned", " / ".join(lines), "--seed", seed])
        poems.append(capsys.readouterr().out)
    assert poems[0].splitlines()[:3] == lines and len(poems[0]) > len("\n".join(lines)) + 10
    assert poems[0] == poems[1] != poems[2]
    main(["sonnet", "--system", "beam_mbr", "\n".join(lines)])
    assert capsys.readouterr().out.startswith("\n".join(lines))


@pytest.mark.parametrize(
    ("system", "text", "message"),
    [
        ("top_p_untuned", "one / two", 'expected 3 lines, as in "first / second / third"; got 2'),
        ("top_p_untuned", "1/2/3/4", "got 4"),
        ("../backbone", "1/2/3", "sonnet.systems has no entry '../backbone'"),
        ("top_p_tuned", "1/2/3", "models/sonnet/full_b8_lr1e5: no model; run `dvc repro train_sonnet@full_b8_lr1e5`"),
    ],
)
def test_what_cannot_be_written_is_one_line(system: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        main(["sonnet", "--system", system, text])


def test_the_file_of_the_course_gives_its_submission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "quora-test-student.csv"
    rows = [["", "id", *PAIR], *([number, f"q{number}", *pair] for number, pair in enumerate(PAIRS))]
    with open(file, "w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter="\t").writerows(rows)
    main(["predict", "paraphrase", "--row", "baseline", "--file", str(file), "--json"])
    classes = [json.loads(line)["class"] for line in capsys.readouterr().out.splitlines()]
    main(["predict", "paraphrase", "--row", "baseline", "--file", str(file), "--course"])
    expected = [f"q{number}, {found} " for number, found in enumerate(classes)]
    assert capsys.readouterr().out.splitlines() == ["id \t Predicted_Is_Paraphrase ", *expected]
    with pytest.raises(InputError, match="--course wants ids"):
        main(["predict", "paraphrase", "--row", "baseline", "--course", *PAIRS[0]])
