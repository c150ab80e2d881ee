"""Checkpoints that cannot be loaded right: each is refused in one line that names what is wrong, and the cure."""

import copy
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_checkpoints import (
    INDEX,
    LLAMA,
    VOCABULARY,
    WEIGHTS,
    Edit,
    change_json,
    configured,
    content,
    each,
    gpt2,
    no,
    path_of,
    plain_vocabulary,
    renamed,
    sharded,
    untied,
    weighted,
    without,
    write,
    written,
)
from tiny import TEXT, tiny_model, tiny_tokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from pipeline.errors import InputError
from pipeline.models.adapters import load_language_model
from pipeline.models.backbone import load_backbone
from pipeline.models.classifier import build_classifier, load_classifier
from pipeline.models.mtan import build_mtan, load_mtan
from pipeline.models.pretrained import adopt

BIAS, SHARD = "transformer.h.1.mlp.c_fc.bias", "model-00002-of-00005.safetensors"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
LFS, AGAIN, BOTH, SHAPE = " is a pointer of git-LFS", "; get it again", "get both again", "has the shape"
SAVED = "; expected a model saved by `save_pretrained`"
NO_CONFIG = "has no config.json" + SAVED
NO_JSON, CUT = "config.json is not JSON (*); get it again", f"{WEIGHTS} is cut off or broken (*); get it again"
NAN = f"{BIAS} holds NaN or infinity; these weights are broken, get others"
LOUD = (
    "no trained language model, or another's tokenizer: * nats a token of held-out text, hardly less than a *" + AGAIN
)
OWN_CODE = "wants to run code of its own (auto_map in config.json), which is never done; choose another"
QUANTISED = "its weights are quantised (quantization_config in config.json); get the full ones"
NO_PLACE = f"config.json has no place for transformer.h.1.attn.c_attn.weight; it belongs to another model, {BOTH}"
OUTSIDE = f"{INDEX} names ../odd/{SHARD}, which is not in the folder" + AGAIN
ENCODER = (
    "a model of the type 'bert' cannot be a backbone: its blocks are not of an attention and an MLP; choose another"
)
OWN = {"AutoTokenizer": ["own.Own", None]}
TOKENIZER = "its tokenizer: cannot be loaded (*); get it again"


def index_of(found: object) -> Edit:
    return each(sharded, content(INDEX, json.dumps(found).encode()))


def pickled(model: GPT2LMHeadModel, folder: Path) -> None:
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def cut_off(model: GPT2LMHeadModel, folder: Path) -> None:
    os.truncate(folder / WEIGHTS, 20000)


def gone(model: GPT2LMHeadModel, folder: Path) -> None:
    shutil.rmtree(folder)


def spoilt(value: float) -> Edit:
    return weighted(lambda weights: weights | {BIAS: torch.full((128,), value)})


def untrained(model: GPT2LMHeadModel, folder: Path) -> None:
    tiny_model(VOCABULARY, end=0).save_pretrained(folder)


def untrained_llama(model: GPT2LMHeadModel, folder: Path) -> None:
    LlamaForCausalLM(LlamaConfig(**LLAMA)).save_pretrained(folder)


def encoder(model: GPT2LMHeadModel, folder: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=VOCABULARY, **sizes)).save_pretrained(folder)


def encoder_decoder(model: GPT2LMHeadModel, folder: Path) -> None:
    config = T5Config(vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=4)
    T5ForConditionalGeneration(config).save_pretrained(folder)


def tokenized(**changes: object) -> Edit:
    """With these values in tokenizer_config.json."""
    return lambda model, folder: change_json(folder / "tokenizer_config.json", **changes)


def merged(**changes: object) -> Edit:
    """With these values in the part `model` of tokenizer.json."""

    def edit(model: GPT2LMHeadModel, folder: Path) -> None:
        old = json.loads((file := folder / "tokenizer.json").read_text())["model"]
        change_json(file, model=old | changes)

    return edit


def numbered(change: Callable[[int], int]) -> Edit:
    """With other numbers of the tokens."""
    found = tiny_tokenizer().get_vocab()
    return merged(vocab={token: change(number) if number else 0 for token, number in found.items()})


def own_code(model: GPT2LMHeadModel, folder: Path) -> None:
    (folder / "own.py").write_text(f"open({str(folder / 'executed')!r}, 'w')")


BROKEN: dict[str, tuple[Edit, str]] = {  # * stands for the words of a library
    "no folder": (gone, NO_CONFIG),
    "no config.json": (no("config.json"), NO_CONFIG),
    "not JSON": (content("config.json", b"x"), NO_JSON),
    "not UTF-8": (content("config.json", b"\xff{}"), NO_JSON),
    "a list": (content("config.json", b"[]"), "config.json holds no mapping" + SAVED),
    "config.json a pointer": (content("config.json", POINTER), f"config.json{LFS}; run `git lfs pull` there"),
    "no type": (configured(model_type=None), "cannot be loaded (*type `None`*)" + AGAIN),
    "unknown type": (configured(model_type="gpt9"), "cannot be loaded (*type `gpt9`*)" + AGAIN),
    "no number": (configured(n_layer="two"), "cannot be loaded (*'n_layer' expected int*)" + AGAIN),
    "number of heads": (configured(n_head=5), "cannot be loaded (*divisible by num_heads*)" + AGAIN),
    "no layers": (configured(n_layer=0), "config.json says that the model has no layers" + AGAIN),
    "fewer layers": (configured(n_layer=1), NO_PLACE),
    "more layers": (configured(n_layer=3), "no weights for transformer.h.2.attn.c_attn.bias and 11 others" + AGAIN),
    "width": (configured(n_embd=64), f"transformer.h.0.attn.c_attn.bias {SHAPE} [96], by config.json [192]; {BOTH}"),
    "positions": (configured(n_positions=99), f"transformer.wpe.weight {SHAPE} [96, 32], by * [99, 32]; {BOTH}"),
    "resized": (configured(vocab_size=448), f"transformer.wte.weight {SHAPE} [400, 32], by * [448, 32]; {BOTH}"),
    "Llama": (configured(**LlamaConfig(**LLAMA).to_dict()), "no weights for lm_head.weight and 20 others" + AGAIN),
    "quantised": (configured(quantization_config={"bits": 4}), QUANTISED),
    "code": (each(own_code, configured(model_type="own", auto_map={"AutoConfig": "own.Own"})), OWN_CODE),
    "missing shard": (each(sharded, no(SHARD)), f"has no {SHARD}" + AGAIN),
    "no map": (index_of({}), f"{INDEX} cannot be read ('weight_map')" + AGAIN),
    "map to numbers": (index_of({"weight_map": {"transformer.wte.weight": 3}}), "has no 3" + AGAIN),
    "empty map": (index_of({"weight_map": {}}), "no weights for lm_head.weight and 28 others" + AGAIN),
    "outside": (index_of({"weight_map": {"transformer.wte.weight": f"../odd/{SHARD}"}}), OUTSIDE),
    "no weights": (no(WEIGHTS), f"has no {WEIGHTS}" + AGAIN),
    "pickle": (pickled, f"has no {WEIGHTS}; save it as safetensors (pickled weights are never loaded)"),
    "pointer": (content(WEIGHTS, POINTER), f"{WEIGHTS}{LFS}, no weights; run `git lfs pull` there"),
    "cut off": (cut_off, CUT),
    "empty": (content(WEIGHTS, b""), CUT),
    "one weight missing": (without(BIAS), f"no weights for {BIAS}" + AGAIN),
    "no output layer": (each(untied, without("lm_head.weight")), "no weights for lm_head.weight" + AGAIN),
    "other names": (renamed("^transformer", "gpt"), "no weights for lm_head.weight and 28 others" + AGAIN),
    "LoRA": (renamed("c_fc", "c_fc.base_layer"), "no weights for transformer.h.0.mlp.c_fc.bias and 3 others" + AGAIN),
    "NaN": (spoilt(math.nan), NAN),
    "infinity": (spoilt(math.inf), NAN),
    "untrained": (untrained, LOUD),
    "encoder": (encoder, ENCODER),
    "encoder-decoder": (encoder_decoder, "a model of the type 't5' cannot do this; choose another"),
    "no tokenizer": (no("tokenizer.json"), "has no tokenizer.json; save the model's tokenizer there, too"),
    "no merges": (each(plain_vocabulary, no("merges.txt")), TOKENIZER),
    "tokenizer not JSON": (content("tokenizer.json", b"{"), TOKENIZER),
    "unknown tokenizer": (merged(type="own"), TOKENIZER),
    "slow tokenizer": (
        tokenized(tokenizer_class="ByT5Tokenizer"), "its tokenizer has no fast version; save one as tokenizer.json",
    ),
    "larger tokenizer": (tokenized(eos_token="[new]"), f"its tokenizer has 401 tokens, the model 400; {BOTH}"),
    "permuted tokenizer": (numbered(lambda number: VOCABULARY - number), LOUD),
    "gaps": (numbered(lambda number: 2 * number), "the numbers of its tokenizer's tokens have gaps; choose another*"),
    "code of a tokenizer": (each(untrained_llama, own_code, tokenized(tokenizer_class="Own", auto_map=OWN)), TOKENIZER),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "y")  # whether to run a model's own code
    edit, said = BROKEN[name]
    folder = written(edit, copy.deepcopy(gpt2()), tmp_path / "odd")
    with pytest.raises(InputError) as caught:
        adopt(path_of(folder), TEXT, tmp_path / "out")
    expected = re.escape(f"params.yaml: backbone.path: {folder}: {said}").replace(re.escape("*"), ".*")
    assert re.fullmatch(expected, str(caught.value)), caught.value  # `.` is no line break
    assert not (folder / "executed").exists()


LOADERS: dict[str, Callable[[Path], object]] = {
    "language model": load_backbone,
    "language model of a row": lambda folder: load_language_model(folder, folder),
    "start of a classifier": lambda folder: build_classifier(folder, 2, "last", 0.0, 0.0),
    "classifier": load_classifier,
    "start of attention networks": lambda folder: build_mtan(folder, {"sst": 5}, 0.0, 0.0),
    "attention networks": load_mtan,
}


@pytest.mark.parametrize("name", LOADERS)
def test_nothing_is_loaded_with_random_weights(name: str, tmp_path: Path) -> None:
    folder = write(gpt2(), tmp_path / "odd")
    if name == "classifier":
        build_classifier(folder, 2, "last", 0.0, 0.0).save_pretrained(folder)
    if name == "attention networks":
        build_mtan(folder, {"sst": 5}, 0.0, 0.0).save_pretrained(folder)
    LOADERS[name](folder)
    without(BIAS)(gpt2(), folder)
    with pytest.raises(InputError, match=re.escape(f"{folder}: no weights for {BIAS}; get it again")):
        LOADERS[name](folder)


@pytest.mark.parametrize(("load", "lost"), [(load_classifier, "score.weight"), (load_mtan, "heads.0.weight")])
def test_a_trained_row_without_its_head(load: Callable[[Path], object], lost: str, tmp_path: Path) -> None:
    folder = write(gpt2(), tmp_path / "odd")
    build = LOADERS["start of a classifier" if load is load_classifier else "start of attention networks"]
    build(folder).save_pretrained(folder)
    without(lost)(gpt2(), folder)
    with pytest.raises(InputError, match=re.escape(f"{folder}: no weights for {lost}; get it again")):
        load(folder)
