"""The reference: paraphrase training as a course's starter code does it. Plain, correct and slow; ours."""

import random
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers.models.gpt2.configuration_gpt2 import GPT2Config

from pipeline.text.prepared import Pair
from pipeline.text.prompts import CLOZE


class CourseBlock(nn.Module):
    """A GPT-2 block: separate products for query, key and value, a full mask, GELU written out."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.fc, self.proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.attention_dropout, self.dropout = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(batch, tokens, width) to the same; `mask` (batch, 1, 1, tokens) is 0 at real tokens and -1e4 at padding."""
        normed = self.ln_1(hidden)
        query, key, value = (
            layer(normed).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        tokens = hidden.shape[1]
        scores = scores.masked_fill(~torch.ones(tokens, tokens, dtype=torch.bool).tril(), -1e4) + mask
        mixed = self.attention_dropout(scores.softmax(-1)) @ value
        hidden = hidden + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        inner = self.fc(self.ln_2(hidden))
        inner = 0.5 * inner * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
        return hidden + self.dropout(self.proj(inner))


class CourseModel(nn.Module):
    """GPT-2 with a linear head on the last real token."""

    def __init__(self, config: GPT2Config, labels: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.n_embd)
        self.places = nn.Embedding(config.n_positions, config.n_embd)
        self.dropout = nn.Dropout(config.embd_pdrop)
        blocks = (CourseBlock(config.n_embd, config.n_head, config.resid_pdrop) for _ in range(config.n_layer))
        self.blocks = nn.ModuleList(blocks)
        self.ln = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, labels, bias=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (batch, labels) from ids and mask (1 at real tokens), both (batch, tokens)."""
        hidden = self.dropout(self.words(ids) + self.places(torch.arange(ids.shape[1])))
        padding = (1.0 - mask[:, None, None].to(hidden.dtype)) * -1e4
        for block in self.blocks:
            hidden = block(hidden, padding)
        hidden = self.ln(hidden)
        return self.head(hidden[torch.arange(len(ids)), mask.sum(1) - 1])


def train(model: CourseModel, tokenizer: Tokenizer, pairs: Sequence[Pair], steps: int, batch_size: int) -> None:
    """`steps` steps over random batches, tokenised in the collator and padded to the longest; unfused AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=False, fused=False)
    rng = random.Random(0)
    for _ in range(steps):
        batch = rng.sample(list(pairs), batch_size)
        codes = [tokenizer.encode(CLOZE.format(pair.sentence1, pair.sentence2)).ids[:128] for pair in batch]
        longest = max(map(len, codes))
        ids = torch.tensor([code + [0] * (longest - len(code)) for code in codes])
        mask = torch.tensor([[1] * len(code) + [0] * (longest - len(code)) for code in codes])
        loss = nn.functional.cross_entropy(model(ids, mask), torch.tensor([pair.label for pair in batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def copy_weights(source: nn.Module, target: CourseModel) -> None:
    """Put a GPT2Classifier's weights into the reference, whose products are separate."""
    with torch.no_grad():
        gpt2 = source.transformer
        target.words.weight.copy_(gpt2.wte.weight)
        target.places.weight.copy_(gpt2.wpe.weight)
        target.ln.load_state_dict(gpt2.ln_f.state_dict())
        target.head.weight.copy_(source.score.weight)
        for block, theirs in zip(target.blocks, gpt2.h, strict=True):
            block.ln_1.load_state_dict(theirs.ln_1.state_dict())
            block.ln_2.load_state_dict(theirs.ln_2.state_dict())
            for layer, weight, bias in zip(
                (block.query, block.key, block.value),
                theirs.attn.c_attn.weight.chunk(3, dim=1),
                theirs.attn.c_attn.bias.chunk(3),
                strict=True,
            ):
                layer.weight.copy_(weight.T)
                layer.bias.copy_(bias)
            for layer, conv in (
                (block.out, theirs.attn.c_proj),
                (block.fc, theirs.mlp.c_fc),
                (block.proj, theirs.mlp.c_proj),
            ):
                layer.weight.copy_(conv.weight.T)
                layer.bias.copy_(conv.bias)
