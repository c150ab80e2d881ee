"""The size of the backbone: its weights, and the memory that training and prediction take."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.config.data import Backbone
from pipeline.config.training import Lora, Prefix
from pipeline.errors import InputError
from pipeline.files import read_json

MIB = 2**20
# Of activations that a block keeps for the backward pass: floats a token, times the width; and an attention weight.
# From peaks of benchmarks/results/training_{small,124M}.json, fp32; bf16 keeps about six tenths of the bytes.
KEPT_PER_WIDTH, KEPT_PER_WEIGHT, BF16 = 24.5, 1.5, 0.6


@dataclass(frozen=True)
class Model:
    """A GPT-2."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int

    @property
    def block(self) -> int:
        """Weights of one block."""
        return 12 * self.width**2 + 13 * self.width

    @property
    def weights(self) -> int:
        """All of them; the output layer shares those of the embeddings."""
        return (self.vocabulary + self.context) * self.width + self.layers * self.block + 2 * self.width

    @property
    def mib(self) -> float:
        """Of its file, in float32 whatever the precision."""
        return self.weights * 4 / MIB

    def adapter(self, adapter: Lora | Prefix | None) -> int:
        """Weights that are trained."""
        if adapter is None:
            return self.weights
        if isinstance(adapter, Prefix):
            width = self.width * 2 * self.layers
            return adapter.tokens * width + (self.width**2 + self.width * width if adapter.projection else 0)
        sides = {"c_attn": (1, 3), "c_proj": (1, 1), "c_fc": (1, 4)}
        ranks = sum(adapter.r * self.width * sum(sides[name]) for name in adapter.targets)
        ranks += adapter.r * self.width * 5 if "c_proj" in adapter.targets else 0  # the MLP has one of that name too
        return self.layers * (ranks + (self.width * 4 if adapter.dora else 0))

    def training_mib(self, rows: int, tokens: float, trained: int, precision: str, language: bool) -> float:
        """Weights, gradients, both moments, and what one batch keeps; with `language`, logits of every token too."""
        kept = self.layers * (KEPT_PER_WIDTH * self.width + KEPT_PER_WEIGHT * self.heads * tokens)
        logits = 3 * self.vocabulary if language else 0
        floats = rows * tokens * (kept * (BF16 if precision == "bf16" else 1.0) + logits)
        return (self.weights + 3 * trained + floats) * (8 if precision == "portable" else 4) / MIB

    def prediction_mib(self, tokens: float) -> float:
        """Weights and the widest layer of one batch of so many tokens."""
        return (self.weights + tokens * 12 * self.width) * 4 / MIB


def model_of(backbone: Backbone) -> Model:
    """The size that the profile names; a model of the hub must be one of GPT-2's sizes."""
    if backbone.source == "scratch":
        own = backbone.scratch
        return Model(own.layers, own.width, own.heads, own.vocab_size, own.context)
    if backbone.source == "path":
        config = read_json(Path(backbone.path) / "config.json")
        return Model(*(int(config[key]) for key in ("n_layer", "n_embd", "n_head", "vocab_size", "n_positions")))
    name = backbone.hub.name.rpartition("/")[2]
    if name not in HUB:
        raise InputError(f"backbone.hub.name: the size of {name!r} is not known here; known are {', '.join(HUB)}")
    return Model(*HUB[name], 50257, 1024)


HUB = {
    "distilgpt2": (6, 768, 12),
    "gpt2": (12, 768, 12),
    "gpt2-medium": (24, 1024, 16),
    "gpt2-large": (36, 1280, 20),
    "gpt2-xl": (48, 1600, 25),
}
