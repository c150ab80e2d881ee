"""Odd checkpoints that are loaded right: with the numbers, and with the tokens, that their model was saved with."""

import copy
import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import END, TEXT, tiny_model, tiny_tokenizer
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from pipeline.config.data import Backbone
from pipeline.decoding.running import Limits, sample
from pipeline.decoding.top_p import top_p
from pipeline.models.backbone import load_backbone
from pipeline.models.classifier import build_classifier
from pipeline.models.pretrained import adopt
from pipeline.objectives import language_model
from pipeline.text.prompts import load_tokenizer

VOCABULARY, PADDED = 400, 448
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
LLAMA = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 96, "eos_token_id": 0,
}  # fmt: skip
Edit = Callable[[GPT2LMHeadModel, Path], object]  # of a folder with the saved model and its tokenizer, or of the model


def overfit(model: PreTrainedModel) -> PreTrainedModel:
    """The model, trained until it knows the documents by heart: a language model in a second."""
    texts = [torch.tensor([0, *tiny_tokenizer().encode(text).ids, 0]) for text in TEXT]
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=0.01)
    for _ in range(100):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@cache
def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return overfit(tiny_model(VOCABULARY, end=0))


@cache
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return overfit(LlamaForCausalLM(LlamaConfig(**LLAMA)))


def write(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer(), eos_token=END).save_pretrained(folder)
    return folder


def written(edit: Edit, model: GPT2LMHeadModel, folder: Path) -> Path:
    edit(model, write(model, folder))
    return folder


def path_of(folder: Path) -> Backbone:
    return Backbone.model_construct(source="path", path=str(folder))


def adopted(folder: Path, out: Path) -> PreTrainedModel:
    """The model of `folder` as transformers loads what `adopt` has made of it."""
    adopt(path_of(folder), TEXT, out)
    return AutoModelForCausalLM.from_pretrained(out)


@torch.no_grad()
def same_logits(model: PreTrainedModel, expected: PreTrainedModel) -> None:
    ids = torch.randint(0, VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(model(ids).logits, expected(ids).logits[..., :VOCABULARY], atol=1e-5)


def change_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def configured(**changes: object) -> Edit:
    return lambda model, folder: change_json(folder / "config.json", **changes)


def weighted(change: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]) -> Edit:
    return lambda model, folder: save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def renamed(pattern: str, replacement: str) -> Edit:
    return weighted(lambda weights: {re.sub(pattern, replacement, name): value for name, value in weights.items()})


def without(lost: str) -> Edit:
    return weighted(lambda weights: {name: value for name, value in weights.items() if name != lost})


def content(name: str, found: bytes) -> Edit:
    return lambda model, folder: (folder / name).write_bytes(found)


def no(*names: str) -> Edit:
    return lambda model, folder: [(folder / name).unlink() for name in names]


def each(*edits: Edit) -> Edit:
    return lambda model, folder: [edit(model, folder) for edit in edits]


def save(model: GPT2LMHeadModel, folder: Path) -> None:
    model.save_pretrained(folder)


def untied(model: GPT2LMHeadModel, folder: Path) -> None:
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(1.1 * model.lm_head.weight.detach() + 0.01)
    model.save_pretrained(folder)


def padded(model: GPT2LMHeadModel, folder: Path) -> None:
    """Rows up to a multiple of 64, which the model finds likelier than real tokens."""
    model.resize_token_embeddings(PADDED, mean_resizing=False)
    model.lm_head.weight.data[VOCABULARY:] = 2 * model.lm_head.weight.data[: PADDED - VOCABULARY]
    model.save_pretrained(folder)


def sharded(model: GPT2LMHeadModel, folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-0000?-of-00005.safetensors"))) == 5


def classifier(model: GPT2LMHeadModel, folder: Path) -> None:
    """One on the language model, whose output layer is tied: all of the latter is there."""
    other = GPT2ForSequenceClassification(model.config)
    other.transformer.load_state_dict(model.transformer.state_dict())
    other.save_pretrained(folder)


def stale_index(model: GPT2LMHeadModel, folder: Path) -> None:
    sharded(model, folder)
    index = (folder / INDEX).read_bytes()
    model.save_pretrained(folder)
    (folder / INDEX).write_bytes(index)


def plain_vocabulary(model: GPT2LMHeadModel, folder: Path) -> None:
    no("tokenizer.json", "tokenizer_config.json")(model, folder)
    tiny_tokenizer().model.save(str(folder))


RIGHT: dict[str, Edit] = {
    "tied": save,
    "untied": untied,
    "untied, config.json says tied": each(untied, configured(tie_word_embeddings=True)),
    "output layer named, embeddings not": renamed("^transformer.wte.weight", "lm_head.weight"),
    "sharded": sharded,
    "one file, index of shards that are gone": stale_index,
    "_orig_mod.": renamed("^", "_orig_mod."),
    "module.": renamed("^", "module."),
    "module._orig_mod.": renamed("^", "module._orig_mod."),
    "doubled prefix": renamed("^transformer", "transformer.transformer"),
    "module. and doubled prefix": renamed("^transformer", "module.transformer.transformer"),
    "no prefix": lambda model, folder: model.transformer.save_pretrained(folder),
    "fp16": lambda model, folder: model.half().save_pretrained(folder),
    "bf16": lambda model, folder: model.bfloat16().save_pretrained(folder),
    "padded": padded,
    "padded, untied": each(untied, padded),
    "padded, untied, config.json says tied": each(untied, padded, configured(tie_word_embeddings=True)),
    "vocab.json and merges.txt": plain_vocabulary,
    "masks of early GPT-2": weighted(lambda weights: weights | {"transformer.h.0.attn.bias": torch.ones(1, 1, 96, 96)}),
    "classifier": classifier,
}


@pytest.mark.parametrize("name", RIGHT)
def test_an_odd_checkpoint_is_loaded_right(name: str, tmp_path: Path) -> None:
    model, out = copy.deepcopy(gpt2()), tmp_path / "out"
    found = adopted(written(RIGHT[name], model, tmp_path / "odd"), out)
    same_logits(found, model.float())
    saved = load_file(out / WEIGHTS)
    assert {weight.dtype for weight in saved.values()} == {torch.float32} and saved.keys() <= model.state_dict().keys()
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert len(tokenizer) == found.config.vocab_size == VOCABULARY
    for text in TEXT:
        ids = tiny_tokenizer().encode(text).ids
        assert tokenizer(text)["input_ids"] == load_tokenizer(out).encode(text).ids == ids
    answers = [7, 300]
    head = build_classifier(out, 2, "last", 0.0, 0.0, answers=answers).eval()
    with torch.no_grad():
        expected = model(ids := torch.tensor([[5, 9, 42]])).logits[:, -1, answers]
        assert torch.allclose(head(ids, torch.tensor([3])), expected, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in RIGHT if "padded" in name])
def test_rows_without_a_token_are_taken_off(name: str, tmp_path: Path) -> None:
    model, prompts = copy.deepcopy(gpt2()), [[0, token] for token in range(30)]
    found = adopted(written(RIGHT[name], model, tmp_path / "odd"), tmp_path / "out")
    assert torch.equal(found.transformer.wte.weight, model.transformer.wte.weight[:VOCABULARY])
    assert (model(torch.tensor(prompts)).logits[:, -1].argmax(-1) >= VOCABULARY).any()
    texts = sample(found, prompts, range(30), partial(top_p, p=1.0, temperature=1.0), Limits([0] * VOCABULARY))
    assert sum(map(len, texts)) > 100 and max(map(max, filter(None, texts))) < VOCABULARY


def test_half_precision_is_trained_in_full(tmp_path: Path) -> None:
    adopt(path_of(written(RIGHT["bf16"], copy.deepcopy(gpt2()), tmp_path / "odd")), TEXT, tmp_path / "out")
    model = load_backbone(tmp_path / "out", dropout=0.1).train()
    before, ids = copy.deepcopy(model.state_dict()), torch.randint(0, VOCABULARY, (4, 20))
    language_model.loss(model, {"input_ids": ids, "lengths": torch.tensor([20, 9, 20, 3])})[0].backward()
    torch.optim.SGD(model.parameters(), 1e-5).step()
    weight, old = model.transformer.h[0].mlp.c_fc.weight, before["transformer.h.0.mlp.c_fc.weight"]
    assert (weight.bfloat16() == old).float().mean() > 0.9 and not torch.equal(weight, old), "so small a step counts"


def test_another_architecture_stays_one(tmp_path: Path) -> None:
    found = adopted(write(llama(), tmp_path / "odd"), tmp_path / "out")
    assert isinstance(found, LlamaForCausalLM)
    same_logits(found, llama())


def test_how_others_sample_is_not_carried_over(tmp_path: Path) -> None:
    folder = write(gpt2(), tmp_path / "odd")
    GenerationConfig(do_sample=True, temperature=0.3, top_k=7, repetition_penalty=1.3).save_pretrained(folder)
    assert AutoModelForCausalLM.from_pretrained(folder).generation_config.do_sample
    settings = adopted(folder, tmp_path / "out").generation_config
    assert (settings.do_sample, settings.temperature, settings.top_k, settings.repetition_penalty) == (None,) * 4
