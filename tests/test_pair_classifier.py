"""Classifiers of pairs: adapters, the cloze head, the rows of several tasks, and answers in both orders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from tiny import tiny_tokenizer, write_backbone, write_prepared
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.tasks import Paraphrase
from pipeline.errors import InputError
from pipeline.models.backbone import load_weights
from pipeline.models.classifier import Classifier
from pipeline.models.mtan import MtanClassifier
from pipeline.objectives import cross_entropy, multitask, simcse
from pipeline.text.batches import collate
from pipeline.text.prepared import Pair, read_pairs, write_pairs
from pipeline.text.prompts import answer_tokens, encode_pairs, encode_views, swap
from pipeline.training.fine_tune import Split, probabilities, select_scores
from pipeline.training.loop import Rows, train
from pipeline.training.pair_rows import new_classifier, training_rows

TOKENIZER = tiny_tokenizer()
TEXTS = [
    "Why?",
    "How do I repair the red garden engine?",
    "What helps to repair the camera?",
    "Who?",
    "Is it so?",
    "no",
]
PAIRS = [Pair(str(index), text, TEXTS[(index - 2) % len(TEXTS)], index % 2) for index, text in enumerate(TEXTS * 2)]
ADAPTERS = [{"adapter": kind, "r": 3, "targets": ["attention", "output", "mlp"]} for kind in ("lora", "dora")]
MATCH = {"exact_match": True}


@pytest.fixture(autouse=True)
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """models/backbone below the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_backbone(Path("models/backbone"))


def row(**values: object) -> Paraphrase:
    settings: dict[str, Any] = {
        "train": "prepared/paraphrase", "start": "backbone", "objective": "cross_entropy",
        "options": {"label_smoothing": 0.0}, "pooling": "last", "head": "linear", "exact_match": False,
        "adapter": None, "r": None, "targets": None, "tasks": [], "seeds": [], "orders": "one",
        "prompt": "ours", "select_on": "select", "train_on_select": False, "adapter_dropout": None, "task_share": 0.25,
        "fresh_lr": None, "lr": 0.01, "epochs": 1,
        "batch_size": 4, "schedule": "linear", "warmup": 0.0, "weight_decay": 0.0, "max_grad_norm": 1.0, "dropout": 0.1,
        "head_dropout": 0.1, "max_length": 90, "evaluations_per_epoch": 1, "checkpoint_steps": 100,
        "ema": None, "soup": 1, "seed": None,
    }  # fmt: skip
    objective = {"objective": "multitask"} if "tasks" in values else {}
    return Paraphrase(**settings | objective | values)


def classifier(backbone: Path, **values: object) -> Any:  # noqa: ANN401 - one of three classes
    torch.manual_seed(4)
    return new_classifier(backbone, TOKENIZER, row(**values))


def some_batch() -> dict[str, Tensor]:
    views = encode_views(TOKENIZER, PAIRS, ["first", "second"], 90)
    return collate(Rows(encode_pairs(TOKENIZER, PAIRS, 90), labels=[pair.label for pair in PAIRS], **views))


def logits(model: nn.Module) -> Tensor:
    batch = some_batch()
    with torch.no_grad():
        found: Tensor = model.eval()(batch["input_ids"], batch["lengths"])
    return found


def trained(model: PeftModel) -> PeftModel:
    """Away from the beginning, where an adapter changes nothing."""
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.3 * torch.randn(weight.shape, generator=generator).to(weight.dtype)
    return model


@pytest.mark.parametrize("adapter", ADAPTERS, ids=["lora", "dora"])
def test_only_the_adapter_and_the_head_train(backbone: Path, adapter: dict[str, Any]) -> None:
    model, plain = classifier(backbone, **adapter).train(), classifier(backbone)
    matrices = {name.split(".lora_")[0] for name, _ in model.named_parameters() if ".lora_" in name}
    assert len(matrices) == 2 * 4  # c_attn, c_fc and both c_proj of two blocks
    assert torch.equal(logits(model), logits(plain))  # it begins as the plain classifier
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):  # the second step, as the first one has nothing to give A while B is 0
        optimiser.zero_grad()
        cross_entropy.loss(model.train(), some_batch(), cross_entropy.Options(label_smoothing=0.0))[0].backward()
        optimiser.step()
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    expected = {name for name in before if ".lora_" in name or "score.modules_to_save" in name}
    assert changed == expected == {name for name, weight in model.named_parameters() if weight.requires_grad}
    kinds = {name.split(".lora_")[1].split(".")[0] for name in expected if ".lora_" in name}
    assert kinds == {"A", "B"} | ({"magnitude_vector"} if adapter["adapter"] == "dora" else set())


@pytest.mark.parametrize("adapter", ADAPTERS, ids=["lora", "dora"])
def test_merged_weights_give_the_same_logits(backbone: Path, adapter: dict[str, Any]) -> None:
    model = trained(classifier(backbone, **adapter)).double()
    expected = logits(model)
    assert (expected - logits(classifier(backbone).double())).abs().max() > 0.01
    merged = model.merge_and_unload()
    assert isinstance(merged, Classifier)
    torch.testing.assert_close(logits(merged), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=["lora", "dora"])
def test_a_saved_adapter_loads_in_plain_peft(backbone: Path, adapter: dict[str, Any]) -> None:
    model = trained(classifier(backbone, **adapter))
    model.save_pretrained("models/paraphrase/row")
    assert {path.name for path in Path("models/paraphrase/row").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "README.md",
    }  # fmt: skip
    base = AutoModelForSequenceClassification.from_pretrained("models/backbone", num_labels=2)
    loaded = PeftModel.from_pretrained(base, "models/paraphrase/row").eval()
    for prompt, expected in zip(encode_pairs(TOKENIZER, PAIRS, 90), logits(model), strict=True):
        found = loaded(input_ids=torch.tensor([prompt])).logits[0].detach()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert loaded.active_peft_config.base_model_name_or_path == "models/backbone"


@pytest.mark.parametrize(
    "values", [*ADAPTERS, {}, {"pooling": "mean"}, MATCH], ids=["lora", "dora", "plain", "mean", "match"]
)
def test_saved_weights_go_into_a_fresh_model(backbone: Path, values: dict[str, Any]) -> None:
    model = trained(classifier(backbone, **values))
    model.save_pretrained("models/paraphrase/row")
    torch.manual_seed(99)
    other = new_classifier(backbone, TOKENIZER, row(**values))
    assert not torch.equal(logits(other), logits(model))
    load_weights(other, Path("models/paraphrase/row"))
    assert torch.equal(logits(other), logits(model))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=["lora", "dora"])
def test_a_contrastive_objective_reaches_the_adapter(backbone: Path, adapter: dict[str, Any]) -> None:
    model = trained(classifier(backbone, **adapter)).train()
    simcse.loss(model, some_batch(), simcse.Options(temperature=0.05, text="question"))[0].backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert reached == {name for name, _ in model.named_parameters() if ".lora_" in name}


def answering_tokenizer() -> Tokenizer:
    """One that has both answers as tokens, unlike the tiny one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=270, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([" no yes"] * 9, trainer)
    return tokenizer


def test_the_cloze_head_begins_as_the_language_model(backbone: Path) -> None:
    tokenizer = answering_tokenizer()
    no, yes = (tokenizer.token_to_id(f"\u0120{answer}") for answer in ("no", "yes"))  # U+0120 is the space
    model = new_classifier(backbone, tokenizer, row(head="cloze")).double()
    language_model = GPT2LMHeadModel.from_pretrained(backbone, dtype=torch.float64).eval()
    for prompt, found in zip(encode_pairs(TOKENIZER, PAIRS, 90), logits(model), strict=True):
        with torch.no_grad():
            words = language_model(torch.tensor([prompt])).logits[0, -1]
        assert found.tolist() == pytest.approx(words[[no, yes]].tolist(), rel=1e-6)
        assert abs(found[0] - found[1]) > 1e-3
    assert not torch.allclose(logits(classifier(backbone).double()), logits(model), atol=1e-2)
    model.score.weight.data += 1  # a copy: the embeddings are not the head's
    assert torch.equal(model.transformer.wte.weight, language_model.transformer.wte.weight)


def test_answers_that_begin_alike_are_refused(backbone: Path) -> None:
    with pytest.raises(
        InputError, match=r"head cloze: .* begins ' yes' and ' no' with the same token; use head linear"
    ):
        classifier(backbone, head="cloze")
    tokenizer = answering_tokenizer()
    assert [tokenizer.decode([token]) for token in answer_tokens(tokenizer)] == [" no", " yes"]


def split_of(pairs: list[Pair]) -> Split:
    prompts, swapped = (encode_pairs(TOKENIZER, order, 90) for order in (pairs, swap(pairs)))
    return Split([pair.id for pair in pairs], prompts, [pair.label for pair in pairs], swapped)


@pytest.mark.parametrize(
    "values", [{}, ADAPTERS[0], {"tasks": ["sst", "etpc"]}, MATCH], ids=["plain", "lora", "mtan", "match"]
)
def test_answers_in_both_orders_do_not_know_the_order(backbone: Path, values: dict[str, Any]) -> None:
    model = trained(classifier(backbone, **values))
    split, turned = split_of(PAIRS), split_of(swap(PAIRS))
    found, other = probabilities(model, split, "fp32", both_orders=True, swapped=True)
    again, _ = probabilities(model, turned, "fp32", both_orders=True)
    assert np.array_equal(found, again) and np.array_equal(found, other)  # to the last bit
    one, swapped = probabilities(model, split, "fp32", both_orders=False, swapped=True)
    back, none = probabilities(model, turned, "fp32", both_orders=False)
    assert none is None and np.array_equal(swapped, back) and np.abs(one - back).max() > 1e-3
    np.testing.assert_allclose(found, (one + swapped) / 2, atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    scores = [select_scores(half, "fp32", both_orders=True)(model) for half in (split, turned)]
    assert scores[0] == scores[1]


def test_every_view_is_the_one_named() -> None:
    views = encode_views(TOKENIZER, PAIRS, ["swapped", "first", "second"], 90)
    for index, pair in enumerate(PAIRS):
        texts = [TOKENIZER.decode(views[name][index]) for name in ("swapped", "first", "second")]
        prompt = f'Is "{pair.sentence2}" a paraphrase of "{pair.sentence1}"? Answer "yes" or "no":'
        assert texts == [prompt, pair.sentence1, pair.sentence2]
    assert encode_views(TOKENIZER, PAIRS, [], 90) == {}
    assert swap(swap(PAIRS)) == PAIRS and [pair.label for pair in swap(PAIRS)] == [pair.label for pair in PAIRS]


def test_rows_of_every_task_are_told_apart(backbone: Path) -> None:
    write_prepared(Path("data/prepared"), rows=5)
    write_pairs(Path("data/prepared/etpc/train.csv"), PAIRS[:3])
    settings = row(tasks=["sst", "etpc"], max_length=60)
    rows = training_rows(TOKENIZER, settings, [])
    assert [example["tasks"] for example in rows] == [0] * 5 + [1] * 5 + [2] * 3
    pairs = read_pairs(Path("data/prepared/paraphrase/train.csv"))
    assert [example["input_ids"] for example in rows[:5]] == encode_pairs(TOKENIZER, pairs, 60)
    assert [example["input_ids"] for example in rows[10:]] == encode_pairs(TOKENIZER, PAIRS[:3], 60)
    assert all(TOKENIZER.decode(example["input_ids"]).startswith("train") for example in rows[5:10])
    assert [example["labels"] for example in rows[10:]] == [pair.label for pair in PAIRS[:3]]
    model = new_classifier(backbone, TOKENIZER, settings)
    assert isinstance(model, MtanClassifier) and model.tasks == ["qqp", "sst", "etpc"]
    assert [head.out_features for head in model.heads] == [2, 5, 2]
    only = training_rows(TOKENIZER, row(), ["first"])
    assert len(only) == 5 and set(only[0]) == {"input_ids", "labels", "first"}


class Killed(Exception):
    """What ends a run in the middle."""


@pytest.mark.parametrize(
    "values", [{}, *ADAPTERS, {"tasks": ["sst", "etpc"]}], ids=["plain", "lora", "dora", "mtan with its weighting"]
)
def test_a_run_that_is_killed_in_a_later_epoch_ends_with_the_same_weights(
    backbone: Path, values: dict[str, Any]
) -> None:
    prompts = encode_pairs(TOKENIZER, PAIRS, 90)
    columns = {"labels": [pair.label for pair in PAIRS]} | ({"tasks": [0, 1, 2] * 4} if "tasks" in values else {})
    rows, settings = Rows(prompts, **columns), row(epochs=4, checkpoint_steps=5)

    def run(folder: str, killed_at: int) -> tuple[dict[str, Tensor], list[list[int]]]:
        seen: list[list[int]] = []

        def objective(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            if len(seen) + 1 == killed_at:
                raise Killed
            seen.append(batch["lengths"].tolist())
            if "tasks" in values:
                options = multitask.Options(weighting="dwa", temperature=2.0, interval=2)
                return multitask.loss(model, batch, options)
            return cross_entropy.loss(model, batch, cross_entropy.Options(label_smoothing=0.0))

        model = classifier(backbone, **values)
        train(model, rows, objective, settings, Path(folder), 7, "fp32")
        return model.state_dict(), seen

    whole, order = run("whole", killed_at=0)
    assert (
        len(order) == settings.steps(len(PAIRS)) == 12 and order[:3] != order[3:6]
    )  # every epoch has an order of its own
    with pytest.raises(Killed):
        run("killed", killed_at=8)  # step 5, the checkpoint, is the second of three in its epoch
    resumed, rest = run("killed", killed_at=0)
    assert rest == order[5:]
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    curves = [{file.name: file.read_text() for file in Path(name, "curves").iterdir()} for name in ("whole", "killed")]
    assert curves[0] == curves[1] and ("weight_sst.tsv" in curves[0]) == ("tasks" in values)
    if "tasks" in values:
        assert whole["losses"][:2].all()  # two intervals of dynamic weighting lie behind
