"""Ensembles of systems: pool MBR and reranking against brute force, from files as systems leave them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from sacrebleu.metrics import CHRF
from small_project import REPOSITORY
from test_params import edit
from tiny import combined, tiny_model, tiny_tokenizer, write_backbone, write_prepared

from pipeline.config.params import check_methods, load_params
from pipeline.decoding.pool_mbr import write as pool_mbr
from pipeline.decoding.reranking import SIMPLEX
from pipeline.decoding.reranking import write as rerank
from pipeline.decoding.writer import Writer, with_nll
from pipeline.errors import InputError
from pipeline.evaluation.metre import rhyme_agreement
from pipeline.files import read_json, read_jsonl, write_json, write_jsonl
from pipeline.stages import generate_sonnets
from pipeline.text.prepared import Generated, Poem

TOKENIZER = tiny_tokenizer()
MODEL = tiny_model(TOKENIZER.get_vocab_size(), 0, positions=200, spread=0.1).double()
PROMPT = "A warm song\nof one river\nand grey"
WORDS = "day way night light river gold dove love the of and a cold lovely engine".split()
POEMS = [Poem(number, PROMPT, f"{PROMPT}\nand the day of gold\nis a night of the river") for number in (3, 8)]
MIXED = {"model": {"backbone": 0.5, "sonnet/lora": 0.5}, "decoder": "contrastive_search"}
POOLED = {"decoder": "pool_mbr", "systems": {"verse": 1.0}}


def texts(seed: int, count: int) -> list[Generated]:
    """Poems of random words for both prompts, some of them twice, one without a completion."""
    rng, found = np.random.default_rng(seed), []
    for draw in range(count):
        for poem in POEMS:
            lines = [" ".join(rng.choice(WORDS, 4)) for _ in range(11 if draw else 0)]
            found.append(Generated(poem.id, draw, PROMPT, "\n".join([PROMPT, *lines])))
    return found + [replace(one, draw=count) for one in found[-2:]]


WRITTEN = {"one": texts(1, 6), "two": texts(2, 3)}
WRITER = Writer(MODEL, TOKENIZER, 1, candidates=WRITTEN.__getitem__)


def utilities(own: list[Generated], weights: list[float]) -> list[float]:
    """Expected chrF by sacrebleu, of each."""
    chrf = CHRF()
    scores = [[chrf.sentence_score(one.text, [other.text]).score for other in own] for one in own]
    return (np.array(scores) @ weights / sum(weights)).tolist()


def pool(number: int, systems: dict[str, float]) -> tuple[list[Generated], list[float]]:
    pairs = [(one, weight) for name, weight in systems.items() for one in WRITTEN[name] if one.id == number]
    return [one for one, _ in pairs], [weight for _, weight in pairs]


@pytest.mark.parametrize("systems", [{"one": 1.0}, {"one": 1.0, "two": 1.0}, {"one": 0.2, "two": 5.0}])
def test_pool_mbr_is_brute_force_over_all_candidates(systems: dict[str, float]) -> None:
    poems, candidates = pool_mbr(WRITER, POEMS, combined("pool_mbr", systems))
    assert [(poem.id, poem.draw) for poem in poems] == [(3, 0), (8, 0)]
    assert len(candidates) == sum(len(WRITTEN[name]) for name in systems)
    for poem in poems:
        own, weights = pool(poem.id, systems)
        expected = utilities(own, weights)
        found = next(score for one, score in zip(own, expected, strict=True) if one.text == poem.text)
        assert found == pytest.approx(max(expected), abs=1e-4)  # fastchrf computes in single precision


def test_a_heavy_system_has_its_way() -> None:
    chosen = [pool_mbr(WRITER, POEMS, combined("pool_mbr", {"one": 1.0, "two": two})).poems for two in (0.001, 1000)]
    for poems, name in zip(chosen, ("one", "two"), strict=True):
        assert {poem.text for poem in poems} <= {one.text for one in WRITTEN[name]}


def reference(number: int, systems: dict[str, float], weights: dict[str, float]) -> str:
    """The best candidate by the weighted sum of standardised utilities."""
    own, shares = pool(number, systems)
    nll = [one.nll for one in with_nll(MODEL, TOKENIZER, own)]
    unlikely = max(value for value in nll if value is not None)
    columns = {
        "chrf": utilities(own, shares),
        "rhyme": [rhyme_agreement(one.lines) for one in own],
        "likelihood": [-(unlikely if value is None else value) for value in nll],
    }
    total = sum(weights.get(name, 0) * (np.array(own) - np.mean(own)) / np.std(own) for name, own in columns.items())
    return own[int(np.argmax(np.round(total, 5)))].text


@pytest.mark.parametrize(
    "weights", [{"chrf": 1.0}, {"rhyme": 1.0}, {"likelihood": 1.0}, {"chrf": 0.5, "rhyme": 0.2, "likelihood": 0.3}]
)
def test_reranking_maximises_the_weighted_utilities(weights: dict[str, float]) -> None:
    systems = {"one": 1.0, "two": 2.0}
    poems, candidates = rerank(WRITER, POEMS, combined("reranking", systems, weights=weights))
    assert [poem.text for poem in poems] == [reference(poem.id, systems, weights) for poem in POEMS]
    assert len(candidates) == len(WRITTEN["one"]) + len(WRITTEN["two"])
    if weights == {"chrf": 1.0}:
        expected = pool_mbr(WRITER, POEMS, combined("pool_mbr", systems)).poems
        assert [poem.text for poem in poems] == [poem.text for poem in expected]


def test_fitted_weights_are_the_best_of_the_simplex() -> None:
    systems = {"one": 1.0, "two": 2.0}
    assert len(set(SIMPLEX)) == 66 and all(sum(weights) == pytest.approx(1) for weights in SIMPLEX)
    fitted = combined("reranking", systems).fitted(WRITER, POEMS)
    tried = {}
    for weights in SIMPLEX:
        given = {name: share for name, share in zip(fitted.weights, weights, strict=True) if share > 0}
        found = rerank(WRITER, POEMS, combined("reranking", systems, weights=given)).poems
        tried[weights] = CHRF().corpus_score([one.text for one in found], [[poem.text for poem in POEMS]]).score
    assert tried[tuple(fitted.weights.values())] == max(tried.values())
    for weights in ({"chrf": 1.0}, {"likelihood": 1.0}, {"rhyme": 1.0}):  # whatever the real poems are, they are found
        real = rerank(WRITER, POEMS, combined("reranking", systems, weights=weights)).poems
        answers = [Poem(one.id, one.prompt, one.text) for one in real]
        found = rerank(WRITER, POEMS, combined("reranking", systems).fitted(WRITER, answers)).poems
        assert [one.text for one in found] == [one.text for one in real]
    given = combined("reranking", systems, weights={"chrf": 0.5})
    assert given.fitted(WRITER, POEMS) is given


def test_what_no_system_has_written_is_one_line() -> None:
    with pytest.raises(InputError, match="a sonnet has no candidate by one, two; run `dvc repro`"):
        pool_mbr(WRITER, [*POEMS, Poem(9, PROMPT, None)], combined("pool_mbr", {"one": 1.0, "two": 1.0}))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """A project in the current folder; the function runs an ensemble and gives its files, JSON read."""
    monkeypatch.chdir(tmp_path)
    params = YAML(typ="safe").load(REPOSITORY / "profiles/sample.yaml")
    system = params["sonnet"]["systems"]["sampled_mbr"] | {"samples": 4, "exact_lines": False, "line_length": False}
    params["sonnet"]["systems"] = {"sampled": system}
    row = "sonnet/full_b8_lr1e5"
    mixture = {"model": {row: 1.0, f"{row}/second": 3.0}, "decoder": "top_p", "top_p": 0.9, "temperature": 1.0}
    contrast = {"model": row, "amateur": f"{row}/second", "decoder": "contrastive_decoding", "alpha": 0.1}
    params["sonnet"]["ensembles"] = {
        "pooled": {"decoder": "pool_mbr", "systems": {"sampled": 1.0}},
        "reranked": {"decoder": "reranking", "systems": {"sampled": 1.0}, "weights": "fitted"},
        "mixture": mixture | {"draws": 2, "max_new_tokens": 9},
        "contrast": contrast | {"no_repeat_ngram": 3, "max_new_tokens": 9},
    }
    params["sonnet"]["ensembles"]["other"] = params["sonnet"]["ensembles"]["contrast"] | {"amateur": "backbone"}
    YAML().dump(params, tmp_path / "params.yaml")
    write_prepared(tmp_path / "data/prepared", rows=3)
    for place, folder in enumerate(("backbone", row, f"{row}/second")):
        write_backbone(Path("models") / folder, spread=0.1 + 0.05 * place)
    generate_sonnets.main("sampled")

    def run(name: str) -> dict[str, Any]:
        generate_sonnets.main(name)
        folder = Path("predictions/sonnets_ensembles") / name
        return {path.name: (read_json if path.suffix == ".json" else read_jsonl)(path) for path in folder.glob("*.js*")}

    yield run


def test_the_pool_of_one_system_gives_its_own_choice(project: Callable[..., dict[str, Any]]) -> None:
    files = project("pooled")
    splits = ("dev", "test", "select")
    assert files.keys() == {f"{split}{kind}.jsonl" for split in splits for kind in ("", "_pool")} | {"system.json"}
    for split in splits:
        for kind in ("", "_pool"):
            own = read_jsonl(Path(f"predictions/sonnets/sampled/{split}{kind}.jsonl"))
            assert files[f"{split}{kind}.jsonl"] == sorted(own, key=lambda row: row["id"])
    assert files["system.json"]["dev"] == {"prompts": 3, "poems": 3, "candidates": 12}


def test_weights_are_fitted_without_a_look_at_dev(project: Callable[..., dict[str, Any]]) -> None:
    before = project("reranked")
    weights = before["system.json"]["weights"]
    assert list(weights) == ["chrf", "rhyme", "likelihood"] and sum(weights.values()) == pytest.approx(1)
    dev = Path("data/prepared/sonnets/dev.jsonl")
    rows = [row | {"poem": row["prompt"] + "\nanother poem"} for row in read_jsonl(dev)]
    write_jsonl(dev, rows)
    assert project("reranked") == before


def test_checkpoints_are_members_and_amateurs(project: Callable[..., dict[str, Any]]) -> None:
    files = project("mixture")
    assert [row["draw"] for row in files["dev.jsonl"]] == [0, 0, 0, 1, 1, 1] and len(files["test.jsonl"]) == 3
    found = {name: project(name) for name in ("contrast", "other")}
    assert found["contrast"]["dev.jsonl"] != found["other"]["dev.jsonl"]
    assert found["contrast"]["system.json"]["amateur"] == "sonnet/full_b8_lr1e5/second"
    second = Path("models/sonnet/full_b8_lr1e5/second")
    tokenizer = read_json(second / "tokenizer.json")
    write_json(second / "tokenizer.json", tokenizer | {"version": "2.0"})
    with pytest.raises(InputError, match="second: another vocabulary than in models/sonnet/full_b8_lr1e5: they cannot"):
        project("mixture")
    os.remove(second / "model.safetensors")
    with pytest.raises(InputError, match="second: no model; run `dvc repro train_sonnet@full_b8_lr1e5`"):
        project("mixture")


BAD: dict[str, tuple[str, object, str]] = {
    "an unknown model": (
        "mixture_top3|model",
        {"backbone": 1, "sonnet/lora/fourth": 1},
        "model: expected one of backbone",
    ),
    "a weight of nothing": ("mixture_top3|model", {"backbone": 1.0, "sonnet/lora": 0.0}, "mixture_top3.model"),
    "a mixture in contrastive search": ("mixture_top3", MIXED, "mixture_top3.model: Input should be a valid string"),
    "an unknown system": ("pool_mbr|systems", {"x": 1.0}, "pool_mbr.systems: expected one of"),
    "a list of systems": ("pool_mbr|systems", ["verse"], "sonnet.ensembles.pool_mbr.systems"),
    "a form that nothing is kept to": ("pool_mbr|exact_lines", True, "pool_mbr.exact_lines: unknown key"),
    "an unknown utility": ("reranked|weights", {"metre": 1.0}, "sonnet.ensembles.reranked.weights"),
    "the name of a system": ("verse", POOLED, "sonnet.ensembles.verse: sonnet.systems has an entry of that name"),
    "the name of the floors": ("floors", POOLED, "sonnet.ensembles.floors: metrics/sonnets/floors.json"),
}
BAD_SYSTEMS: dict[str, tuple[str, object, str]] = {
    "a mixture": ("top_p_tuned|model", {"backbone": 1.0}, "sonnet.systems.top_p_tuned.model: expected one of"),
    "a pool": ("pooled", POOLED, "sonnet.systems.pooled.model: expected one of"),
    "another amateur": ("contrastive_decoding|amateur", "sonnet/lora", "amateur: expected one of backbone, got"),
    "a checkpoint": ("top_p_tuned|model", "sonnet/lora/second", "sonnet.systems.top_p_tuned.model: expected one of"),
}
CASES = [("ensembles", *case) for case in BAD.values()] + [("systems", *case) for case in BAD_SYSTEMS.values()]


@pytest.mark.parametrize(("table", "key", "value", "message"), CASES, ids=[*BAD, *BAD_SYSTEMS])
def test_a_bad_entry_is_one_line(table: str, key: str, value: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes((REPOSITORY / "profiles/sample.yaml").read_bytes())
    edit(f"sonnet|{table}|{key}", value)(path)
    with pytest.raises(InputError) as error:
        check_methods(load_params(path), path)
    assert message in str(error.value) and "\n" not in str(error.value)
