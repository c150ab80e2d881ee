"""The reference: training, evaluation and writing as a course's starter code does them. Plain, correct and slow; ours.

Prompts are tokenised in the collator, batches are random and padded to their longest, query, key and value are separate
products under a full mask, AdamW is not fused. Texts are written one at a time, and all of a text is read anew for
every token.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers.models.gpt2.configuration_gpt2 import GPT2Config

from pipeline.text.prepared import Pair
from pipeline.text.prompts import CLOZE

LENGTH = 128  # tokens of a prompt, at most


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
        scores = (
            scores.masked_fill(~torch.ones(tokens, tokens, dtype=torch.bool, device=hidden.device).tril(), -1e4) + mask
        )
        mixed = self.attention_dropout(scores.softmax(-1)) @ value
        hidden = hidden + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        inner = self.fc(self.ln_2(hidden))
        inner = 0.5 * inner * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
        return hidden + self.dropout(self.proj(inner))


class CourseModel(nn.Module):
    """GPT-2 with a linear head on the last real token, and the language model of the same states."""

    def __init__(self, config: GPT2Config, labels: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.n_embd)
        self.places = nn.Embedding(config.n_positions, config.n_embd)
        self.dropout = nn.Dropout(config.embd_pdrop)
        blocks = (CourseBlock(config.n_embd, config.n_head, config.resid_pdrop) for _ in range(config.n_layer))
        self.blocks = nn.ModuleList(blocks)
        self.ln = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, labels, bias=False)

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Hidden states (batch, tokens, width) of ids and mask (1 at real tokens), both (batch, tokens)."""
        hidden = self.dropout(self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device)))
        padding = (1.0 - mask[:, None, None].to(hidden.dtype)) * -1e4
        for block in self.blocks:
            hidden = block(hidden, padding)
        return self.ln(hidden)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (batch, labels)."""
        rows = torch.arange(len(ids), device=ids.device)
        return self.head(self.states(ids, mask)[rows, mask.sum(1) - 1])

    def read(self, text: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Of one text: states (tokens, width) and logits of the next token after each of its tokens."""
        ids = torch.tensor([list(text)])
        states = self.states(ids, torch.ones_like(ids))[0]
        return states, states @ self.words.weight.T


def collate(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Token ids and mask of a batch, both (pairs, longest)."""
    codes = [tokenizer.encode(CLOZE.format(pair.sentence1, pair.sentence2)).ids[:LENGTH] for pair in pairs]
    longest = max(map(len, codes))
    ids = torch.tensor([code + [0] * (longest - len(code)) for code in codes])
    return ids, torch.tensor([[1] * len(code) + [0] * (longest - len(code)) for code in codes])


def train(model: CourseModel, tokenizer: Tokenizer, batches: Iterable[Sequence[Pair]]) -> Iterator[float]:
    """One step for every loss that is asked for."""
    device = model.words.weight.device
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=False, fused=False)
    for batch in batches:
        ids, mask = collate(tokenizer, batch)
        labels = torch.tensor([pair.label for pair in batch])
        loss = nn.functional.cross_entropy(model(ids.to(device), mask.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@torch.no_grad()
def predict(model: CourseModel, tokenizer: Tokenizer, pairs: Sequence[Pair], batch_size: int) -> Tensor:
    """Probabilities (pairs, labels), in batches in the order of `pairs`."""
    model.eval()
    device = model.words.weight.device
    batches = [collate(tokenizer, pairs[start : start + batch_size]) for start in range(0, len(pairs), batch_size)]
    return torch.cat([model(ids.to(device), mask.to(device)).softmax(-1) for ids, mask in batches])


@torch.no_grad()
def top_p(
    model: CourseModel, prompt: Sequence[int], uniforms: Sequence[float], p: float, temperature: float, end: int
) -> list[int]:
    """Sample a token for each of the uniform numbers (in [0, 1)) unless the end token comes before; new tokens."""
    text = list(prompt)
    for uniform in uniforms:
        token = nucleus_token(model.read(text)[1][-1], uniform, p, temperature)
        if token == end:
            break
        text.append(token)
    return text[len(prompt) :]


def nucleus_token(logits: Tensor, uniform: float, p: float, temperature: float) -> int:
    """One token from logits (vocabulary,): sort, keep the likeliest until they reach p, draw among these."""
    probabilities, tokens = (logits / temperature).softmax(-1).sort(descending=True)
    before = probabilities.cumsum(-1) - probabilities
    kept = torch.where(before < p, probabilities, 0).cumsum(-1)
    return int(tokens[(kept <= uniform * kept[-1]).sum().clamp(max=len(tokens) - 1)])


@torch.no_grad()
def contrastive_search(
    model: CourseModel, prompt: Sequence[int], k: int, alpha: float, context: int, end: int
) -> list[int]:
    """Contrastive search (Su et al. 2022) until the end token or `context` tokens: a pass for every candidate."""
    text = list(prompt)
    while len(text) < context:
        probabilities, tokens = model.read(text)[1][-1].softmax(-1).topk(k)
        scores = []
        for probability, token in zip(probabilities, tokens.tolist(), strict=True):
            states, _ = model.read([*text, token])
            similarity = nn.functional.cosine_similarity(states[:-1], states[-1:], dim=-1).max()
            scores.append(float((1 - alpha) * probability - alpha * similarity))
        best = int(tokens[scores.index(max(scores))])
        if best == end:
            break
        text.append(best)
    return text[len(prompt) :]


@torch.no_grad()
def beam_search(
    model: CourseModel, prompt: Sequence[int], beams: int, length_penalty: float, context: int, end: int
) -> list[list[int]]:
    """Finished texts, best first: a pass for every beam; texts end with the end token or after `context` tokens."""
    running: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    while running and len(finished) < beams:
        every: list[tuple[float, list[int]]] = []
        for total, text in running:
            scores, tokens = model.read([*prompt, *text])[1][-1].log_softmax(-1).topk(2 * beams)
            every += [
                (total + score, [*text, token]) for score, token in zip(scores.tolist(), tokens.tolist(), strict=True)
            ]
        every.sort(key=lambda item: -item[0])
        running = []
        for rank, (total, text) in enumerate(every[: 2 * beams]):
            if text[-1] == end or len(prompt) + len(text) == context:
                if rank < beams:
                    score = total / len(text) ** length_penalty
                    finished.append((score, [token for token in text if token != end]))
            elif len(running) < beams:
                running.append((total, text))
    return [text for _, text in sorted(finished, key=lambda item: -item[0])]


def copy_weights(source: nn.Module, target: CourseModel) -> None:
    """Put a Classifier's or a GPT2LMHeadModel's weights into the reference, whose products are separate."""
    with torch.no_grad():
        gpt2: Any = source.transformer
        score: Any = getattr(source, "score", None)
        block: Any
        target.words.weight.copy_(gpt2.wte.weight)
        target.places.weight.copy_(gpt2.wpe.weight)
        target.ln.load_state_dict(gpt2.ln_f.state_dict())
        if score is not None:
            target.head.weight.copy_(score.weight)
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
