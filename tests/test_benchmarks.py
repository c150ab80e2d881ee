"""The references of the benchmarks compute the same as what they are compared with; docs/performance.md shows them."""

import math
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from tiny import options, tiny_model, tiny_tokenizer, tiny_training
from torch import Tensor, nn
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from benchmarks import course_loop, dag, prepare
from benchmarks.course_loop import CourseModel, copy_weights
from benchmarks.evaluation import few
from benchmarks.mbr import candidates, sacrebleu_scores
from benchmarks.measure import in_child, interleaved
from benchmarks.training import OBJECTIVES, bare_steps
from pipeline.commands import docs
from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.contrastive_search import contrastive_search
from pipeline.decoding.running import REDRAWS, Limits, sample
from pipeline.decoding.sampled_mbr import mbr
from pipeline.decoding.top_p import top_p
from pipeline.files import read_json
from pipeline.models.classifier import Classifier, classifier_of
from pipeline.text.batches import batches_by_length, pad
from pipeline.text.prepared import Pair
from pipeline.text.prompts import encode_pairs
from pipeline.training.loop import Rows, train
from pipeline.training.predict import predict
from pipeline.training.samplers import ByLength

ROOT = Path(__file__).parent.parent
VOCABULARY, END, CONTEXT = 40, 0, 40
NO_BREAKS = Limits([0] * VOCABULARY)
PROMPTS = [[END, *np.random.default_rng(length).integers(1, 40, length - 1).tolist()] for length in (9, 3, 14, 6)]


def classifiers(vocabulary: int, positions: int) -> tuple[Classifier, CourseModel]:
    """The same weights in this project's classifier and in the reference, without dropout."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=32,
        n_layer=3,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.2,
        activation_function="gelu_pytorch_tanh",
        bos_token_id=0,
        eos_token_id=0,
    )
    config.num_labels, config.pooling, config.head_dropout = 2, "last", 0.0
    config.freeze_backbone, config.exact_match = False, None
    torch.manual_seed(0)
    ours, course = classifier_of(GPT2Config)(config).double().train(), CourseModel(config).double().train()
    nn.init.normal_(ours.score.weight, std=0.5)
    copy_weights(ours, course)
    return ours, course


@pytest.fixture(scope="module")
def writers() -> tuple[GPT2LMHeadModel, CourseModel]:
    """The same language model, float64, as this project's decoders take it and as the reference."""
    ours = tiny_model(VOCABULARY, END, CONTEXT, spread=0.25, seed=3).double()
    course = CourseModel(ours.config).double().eval()
    copy_weights(ours, course)
    return ours, course


def test_the_course_loop_is_the_same_model() -> None:
    """Same loss and same gradients in float64 without dropout, so that only the speed is compared."""
    ours, course = classifiers(90, 40)
    ids, lengths = pad([[5, 80, 3], list(range(1, 30)), [7]])
    labels = torch.tensor([0, 1, 1])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    losses = [
        nn.functional.cross_entropy(logits, labels) for logits in (ours(ids, lengths).double(), course(ids, mask))
    ]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-7)
    grads = [
        (ours.transformer.wte.weight.grad, course.words.weight.grad),
        (ours.score.weight.grad, course.head.weight.grad),
    ]
    for block, theirs in zip(ours.transformer.h, course.blocks, strict=True):
        grads.append((block.mlp.c_fc.weight.grad.T, theirs.fc.weight.grad))
        query, key, value = block.attn.c_attn.weight.grad.chunk(3, dim=1)
        grads += [
            (query.T, theirs.query.weight.grad),
            (key.T, theirs.key.weight.grad),
            (value.T, theirs.value.weight.grad),
        ]
    for mine, reference in grads:
        assert reference.abs().max() > 1e-6
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-8)


def test_the_bare_fast_step_is_the_step_of_the_training_loop(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [rng.integers(1, 90, length).tolist() for length in rng.integers(3, 30, 22)]
    rows = Rows(ids, labels=rng.integers(0, 2, 22).tolist())
    settings = tiny_training(epochs=2, warmup=0.3, max_grad_norm=0.5, dropout=0.0)
    order, steps = ByLength(list(map(len, ids)), settings.batch_size, 7), settings.steps(len(rows))
    (bare, _), (looped, _) = classifiers(90, 40), classifiers(90, 40)
    before = bare.transformer.wte.weight.clone()
    assert all(
        map(math.isfinite, islice(bare_steps(bare, rows, "fp32", OBJECTIVES["cross_entropy"], settings, order), steps))
    )
    train(looped, rows, OBJECTIVES["cross_entropy"], settings, tmp_path, 7, "fp32")
    assert (bare.transformer.wte.weight - before).abs().max() > 1e-3
    for mine, theirs in zip(bare.parameters(), looped.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)


def test_the_probabilities_are_the_same() -> None:
    tokenizer = tiny_tokenizer()
    ours, course = classifiers(tokenizer.get_vocab_size(), course_loop.LENGTH)
    words = "How do I repair the old red river camera today or soon".split()
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(words, size)) for size in rng.integers(1, 9, 22)]
    pairs = [Pair(str(number), *texts[2 * number : 2 * number + 2], None) for number in range(11)]
    found = predict(ours, encode_pairs(tokenizer, pairs, course_loop.LENGTH))
    expected = course_loop.predict(course, tokenizer, pairs, 4).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected[:, 0]) > 0.1


def test_the_batches_that_are_timed_are_those_of_all_prompts() -> None:
    prompts = [[1] * int(length) for length in np.random.default_rng(2).integers(5, 120, 3000)]
    every, places = batches_by_length(prompts), few(prompts, 3)
    again = [[places[place] for place in batch] for batch in batches_by_length([prompts[place] for place in places])]
    assert len(again) == 3 and all(sorted(batch) in map(sorted, every) for batch in again)


def test_sampled_texts_are_the_same_given_the_same_numbers(writers: tuple[GPT2LMHeadModel, CourseModel]) -> None:
    ours, course = writers

    def choose(logits: Tensor, uniforms: Tensor) -> Tensor:
        numbers = uniforms[:, 0].tolist()
        return torch.tensor(
            [course_loop.nucleus_token(row, number, 0.9, 1.2) for row, number in zip(logits, numbers, strict=True)]
        )

    streams = [
        torch.rand(20, REDRAWS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)[:, 0].tolist()
        for seed in range(len(PROMPTS))
    ]
    found = sample(ours, PROMPTS, range(len(PROMPTS)), choose, Limits(NO_BREAKS.breaks, new_tokens=20))
    pairs = zip(PROMPTS, streams, strict=True)
    expected = [course_loop.top_p(course, prompt, stream, 0.9, 1.2, END) for prompt, stream in pairs]
    assert found == expected and sum(map(len, found)) > 30


def test_the_nucleus_of_the_reference_is_that_of_this_project() -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 1.5
    grid = [(number + 0.5) / 20_000 for number in range(20_000)]
    exact = np.bincount([course_loop.nucleus_token(logits, number, 0.8, 1.1) for number in grid[::5]], minlength=12)
    uniforms = torch.rand(20_000, REDRAWS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    counts = np.bincount(top_p(logits.expand(20_000, -1), uniforms, 0.8, 1.1).numpy(), minlength=12)
    inside = exact > 0
    assert 1 < inside.sum() < 12 and counts[~inside].sum() == 0
    assert chisquare(counts[inside], 5 * exact[inside]).pvalue > 1e-3


def test_searched_texts_are_the_same(writers: tuple[GPT2LMHeadModel, CourseModel]) -> None:
    ours, course = writers
    found = contrastive_search(ours, PROMPTS, options("contrastive_search", k=4, alpha=0.6), NO_BREAKS)
    assert found == [course_loop.contrastive_search(course, prompt, 4, 0.6, CONTEXT, END) for prompt in PROMPTS]
    beams = beam_search(ours, PROMPTS, options("beam_search", beams=5, length_penalty=0.6), NO_BREAKS)
    assert beams == [course_loop.beam_search(course, prompt, 5, 0.6, CONTEXT, END) for prompt in PROMPTS]
    assert len({len(text) for texts in beams for text in texts}) > 1 and sum(map(len, found)) > 20


def test_the_choice_of_mbr_is_that_of_sacrebleu() -> None:
    words = "shall I compare thee to a summer day rough winds do shake the darling buds of may".split()
    rng = np.random.default_rng(4)
    poems = [[" ".join(rng.choice(words, 7)) for _ in range(14)] for _ in range(9)]
    pool = candidates(poems, 12)
    assert mbr(pool) == int(np.argmax(sacrebleu_scores(pool)))


def test_invented_pairs_can_be_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "GENERATED", {"train": 150, "dev": 40, "test-student": 40})
    assert prepare.invent(tmp_path, 400) == 400
    assert len((tmp_path / "quora-train.csv").read_text().splitlines()) == 401
    assert prepare.prepare(tmp_path) > 0


def test_the_shares_of_a_cold_run_are_those_of_its_stages(tmp_path: Path) -> None:
    columns = "stage\tresult\tseconds"
    rows = ["train@a\tdone\t6", "train@b\tdone\t2", "report\tdone\t2"]
    (tmp_path / "times.tsv").write_text("\n".join([columns, *rows]))
    assert dag.shares(tmp_path / "times.tsv") == {"train": (8.0, 80.0), "report": (2.0, 20.0)}


def test_rows_are_measured_in_turn_and_apart() -> None:
    def large(number: int) -> float:
        return float(number + len(bytearray(b"x") * 300_000_000) // 100_000_000)

    found = interleaved({"small": partial(float), "large": large}, 3, "")
    assert found["small"].values == [0.0, 1.0, 2.0] and found["large"].median == 4
    assert found["large"].peak_mib > found["small"].peak_mib + 250  # each has its own peak
    with pytest.raises(SystemExit):
        in_child(lambda number: 1 / (number - number), 0)


@pytest.mark.parametrize("path", sorted((ROOT / docs.SPEED).iterdir()), ids=lambda path: path.stem)
def test_every_row_of_the_committed_results_stands_in_docs(path: Path) -> None:
    assert path.stem in docs.ORDER
    result, recipe = read_json(path), path.stem.startswith("recipes_")  # accuracy, by seeds instead of rounds
    page = "docs/methods.md" if recipe else "docs/performance.md"
    assert docs.measured_table(result) in (ROOT / page).read_text(encoding="utf-8")
    few = path.stem.startswith(("systems", "dag_jobs", "full_size", "cuda_"))  # which take minutes, or a GPU
    assert result["machine"] and (result["rounds"] >= 3 or few or recipe)
    for row in result["rows"]:
        past = "share" in row  # of a run that is over
        assert past or row["values"]
        cut_off = path.stem == "cuda_generation"  # before it noted any
        assert past or recipe or cut_off or row["peak_mib"] > 0
        assert set(row) - {"values"} <= set(docs.COLUMNS)
