"""What every decoder writes with, how poems become prompts and new tokens poems, and how likely those are.

Several processes share the work. A sampled text has its own random stream: it depends on no other and on no process.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import shared
from pipeline.config.sonnet import Pools, System
from pipeline.decoding.constraints import Constraints, visible
from pipeline.decoding.running import Limits, sample
from pipeline.errors import InputError, listed
from pipeline.models.adapters import text_length
from pipeline.models.decoder import base_of, context, states
from pipeline.models.output import Mixture, surprisals
from pipeline.text.batches import batches_by_length, pad, places
from pipeline.text.prepared import SONNET_LINES, Generated, Poem, lines_of, read_poems
from pipeline.text.prompts import begin_of_text, encode_documents, plain_ids

Search = Callable[[Sequence[list[int]]], Sequence[list[list[int]]]]  # prompts -> the texts of each, best first


class Written(NamedTuple):
    """Poems, ordered by draw, then as their prompts, and the candidates that they were chosen from, if any."""

    poems: list[Generated]
    pool: Sequence[Generated] = ()


@dataclass(frozen=True)
class Writer:
    """A system's model, in evaluation mode, and what else its decoder may need."""

    model: PreTrainedModel | Mixture
    tokenizer: Tokenizer
    seed: int
    training_lines: Callable[[], Sequence[str]] = list  # the lines that the model was trained on
    amateur: Callable[[], PreTrainedModel] | None = None  # loads the other model of contrastive decoding
    candidates: Callable[[str], Sequence[Generated]] = lambda _: ()  # of a system, for all prompts

    @cached_property
    def breaks(self) -> list[int]:  # in each token
        return [self.tokenizer.decode([token]).count("\n") for token in range(self.tokenizer.get_vocab_size())]

    def limits(self, system: System) -> Limits:
        """The bans and limits of a system."""
        limits = Limits(self.breaks, new_tokens=system.max_new_tokens)
        if system.exact_lines or system.line_length or system.no_copy_words:
            return replace(limits, allowed=Constraints(self.tokenizer, self.training_lines, system))
        return limits

    def sample(
        self, poems: list[Poem], draws: int, system: System | None, choose: Callable[..., Tensor], **settings: float
    ) -> list[Generated]:
        """`draws` independent continuations of every prompt, ordered by draw, then as `poems`; no system, no bans."""
        limits = self.limits(system) if system else Limits(self.breaks)
        jobs = [(draw, poem) for draw in range(draws) for poem in poems]

        def write(own: Sequence[tuple[int, Poem]]) -> list[list[int]]:
            prompts = encode_prompts(self.tokenizer, [poem for _, poem in own], text_length(self.model))
            seeds = [stream_seed(self.seed, poem.id, draw) for draw, poem in own]
            return sample(self.model, prompts, seeds, partial(choose, **settings), limits)

        pairs = zip(jobs, shared(jobs, write), strict=True)
        return [self._generated(poem, draw, tokens) for (draw, poem), tokens in pairs]

    def search(self, poems: Sequence[Poem], write: Search) -> list[Generated]:
        """The texts that `write` finds for each prompt, ordered as `poems`, then by rank, which is their `draw`."""
        found = zip(poems, shared(encode_prompts(self.tokenizer, poems, text_length(self.model)), write), strict=True)
        return [self._generated(poem, rank, text) for poem, texts in found for rank, text in enumerate(texts)]

    def pooled(self, poems: Sequence[Poem], options: Pools) -> tuple[list[Generated], dict[int, list[float]]]:
        """The candidates of all systems, ordered as `poems`; and by prompt the weights of its own."""
        found = [(one, weight) for system, weight in options.systems.items() for one in self.candidates(system)]
        weights = {poem.id: [weight for one, weight in found if one.id == poem.id] for poem in poems}
        if [] in weights.values():
            raise InputError(f"a sonnet has no candidate by {listed(options.systems)}; run `dvc repro`")
        return [one for poem in poems for one, _ in found if one.id == poem.id], weights

    def _generated(self, poem: Poem, draw: int, tokens: Sequence[int]) -> Generated:
        return Generated(poem.id, draw, poem.prompt, whole_poem(poem.prompt, self.tokenizer.decode(list(tokens))))


def chosen(poems: Sequence[Poem], pool: Sequence[Generated], choose: Callable[[Poem, list[str]], str]) -> Written:
    """One text a prompt, which `choose` makes of its candidates."""
    texts = shared(poems, lambda own: [choose(poem, [one.text for one in pool if one.id == poem.id]) for poem in own])
    return Written([Generated(poem.id, 0, poem.prompt, text) for poem, text in zip(poems, texts, strict=True)], pool)


def training_lines(folder: Path) -> list[str]:
    """The distinct lines of the sonnets, in data/prepared/sonnets, that models are trained and selected on."""
    seen = [poem for split in ("train", "select") for poem in read_poems(folder / f"{split}.jsonl")]
    return list(dict.fromkeys(line for poem in seen for line in lines_of(poem.text or "")))


def encode_prompts(tokenizer: Tokenizer, poems: Sequence[Poem | Generated], context: int) -> list[list[int]]:
    """The given lines as the model saw them in training: after the token that begins a text, ended by a line break."""
    prompts = [[begin_of_text(tokenizer), *ids] for ids in plain_ids(tokenizer, [f"{poem.prompt}\n" for poem in poems])]
    if full := [poem.id for poem, prompt in zip(poems, prompts, strict=True) if len(prompt) >= context]:
        raise InputError(f"sonnet {full[0]}: its three lines fill the model's context of {context} tokens")
    return prompts


def whole_poem(prompt: str, continuation: str) -> str:
    """Prompt and continuation, at most 14 lines, without blank lines and space around lines."""
    return "\n".join([*prompt.split("\n"), *lines_of(visible(continuation))][:SONNET_LINES])


def stream_seed(seed: int, poem: int, draw: int) -> int:
    """The seed of one text's random stream; independent of batch and order."""
    return int.from_bytes(hashlib.sha256(f"{seed} {poem} {draw}".encode()).digest()[:8], "big") >> 1


@torch.inference_mode()
def with_nll(model: PreTrainedModel, tokenizer: Tokenizer, poems: Sequence[Generated]) -> list[Generated]:
    """The poems with the mean negative log-likelihood a token of what follows their prompts, under `model`.

    Texts are encoded as in training and cut at the model's context; the end-of-text token is not counted.
    """
    longest = context(model)
    prompts = encode_prompts(tokenizer, poems, longest)
    documents = encode_documents(tokenizer, [poem.text for poem in poems], longest + 1)

    def score(batch: Sequence[int]) -> list[float | None]:
        ids = pad([documents[number][:-1] for number in batch])[0].to(model.device)
        starts = np.array([[len(prompts[number]) - 1] for number in batch])
        ends = np.array([[len(documents[number]) - 2] for number in batch])
        numbers = np.arange(ids.shape[1])
        predicts = places((numbers >= starts) & (numbers < ends), ids.device)
        hidden = states(base_of(model), ids)[-1].flatten(0, 1)[predicts]
        losses = surprisals(model, hidden, ids.flatten()[predicts + 1]).double().cpu()
        return [own.mean().item() if len(own) else None for own in losses.split((ends - starts)[:, 0].clip(0).tolist())]

    batches = batches_by_length(documents)
    scores = shared(batches, lambda own: list(map(score, own)))
    nll = dict(zip(chain(*batches), chain(*scores), strict=True))
    return [replace(poem, nll=nll[number]) for number, poem in enumerate(poems)]
