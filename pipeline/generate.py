"""Write with a system: the decoder that params.yaml names, on every prompt at once."""

from collections.abc import Sequence, Set
from functools import partial
from typing import NamedTuple

from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.sonnet import (
    BeamMBR,
    Contrastive,
    ContrastiveDecoding,
    Epsilon,
    LineMBR,
    MinP,
    Sampled,
    SampledMBR,
    Sampler,
    System,
    TopK,
    TopP,
)
from pipeline.decoding.beam_search import BeamSearch, beam_search
from pipeline.decoding.contrastive_decoding import contrastive_decoding
from pipeline.decoding.contrastive_search import ContrastiveSearch, contrastive_search
from pipeline.decoding.epsilon import keep_epsilon
from pipeline.decoding.mbr import line_mbr, mbr
from pipeline.decoding.min_p import keep_min_p
from pipeline.decoding.top_k import keep_top_k
from pipeline.decoding.top_p import top_p
from pipeline.poems import LINES, Generated, encode_prompts, generated, newlines_per_token, sample_poems
from pipeline.text.prepared import Poem


class Written(NamedTuple):
    """The poems, and the candidates that they were chosen from (none where a decoder writes one text)."""

    poems: list[Generated]
    pool: list[Generated]


def generate(
    model: GPT2LMHeadModel,
    tokenizer: Tokenizer,
    poems: Sequence[Poem],
    system: System,
    seed: int,
    training_lines: Set[str],
    amateur: GPT2LMHeadModel | None = None,
) -> Written:
    """Continue every prompt with the system's decoder; ordered by draw, then as `poems`.

    A sampler gives `system.draws` independent texts a prompt, the others one. `training_lines` are the lines that
    `line_mbr` may not use; `contrastive_decoding` needs an `amateur`.
    """
    if isinstance(system, Sampler):
        choose_next = partial(choose, system=system)
        return Written(sample_poems(model, tokenizer, poems, system.draws, choose_next, seed), [])
    if isinstance(system, Sampled):
        pool = sample_poems(model, tokenizer, poems, system.samples, partial(choose, system=system), seed)
        return Written([_chosen(poem, pool, system, training_lines) for poem in poems], pool)
    prompts, newlines = encode_prompts(tokenizer, poems, model.config.n_positions), newlines_per_token(tokenizer)
    if isinstance(system, Contrastive):
        options = ContrastiveSearch(**system.model_dump(exclude={"model", "decoder"}))
        found = [[text] for text in contrastive_search(model, prompts, options, newlines, LINES)]
    elif isinstance(system, ContrastiveDecoding):
        assert amateur is not None
        alpha, order = system.alpha, system.no_repeat_ngram
        found = [[text] for text in contrastive_decoding(model, amateur, prompts, alpha, order, newlines, LINES)]
    else:
        beams = BeamSearch(system.beams, system.length_penalty, system.no_repeat_ngram)
        found = beam_search(model, prompts, beams, newlines, LINES)
    pool = [
        generated(poem, rank, tokenizer, tokens)
        for poem, texts in zip(poems, found, strict=True)
        for rank, tokens in enumerate(texts)
    ]
    if isinstance(system, BeamMBR):
        return Written([_chosen(poem, pool, system, training_lines) for poem in poems], pool)
    return Written([text for text in pool if text.draw == 0], [])


def _chosen(
    poem: Poem, pool: Sequence[Generated], system: SampledMBR | LineMBR | BeamMBR | Sampled, training_lines: Set[str]
) -> Generated:
    """The MBR choice for one prompt from its part of the pool."""
    texts = [candidate.text for candidate in pool if candidate.id == poem.id]
    if isinstance(system, LineMBR):
        text = line_mbr(poem.prompt, texts, training_lines, system.sweeps)
    else:
        text = texts[mbr(texts, isinstance(system, SampledMBR) and system.aggregated)]
    return Generated(poem.id, 0, poem.prompt, text)


def choose(logits: Tensor, uniforms: Tensor, system: Sampler | Sampled) -> Tensor:
    """The next tokens (rows,) from logits (rows, vocabulary); see pipeline/decoding/top_p.py for `uniforms`."""
    if isinstance(system, TopP):
        return top_p(logits, uniforms, system.top_p, system.temperature)
    logits = logits / system.temperature
    if isinstance(system, TopK):
        logits = keep_top_k(logits, system.top_k)
    elif isinstance(system, MinP):
        logits = keep_min_p(logits, system.min_p)
    elif isinstance(system, Epsilon | Sampled):
        logits = keep_epsilon(logits, system.epsilon)
    return top_p(logits, uniforms, 1.0, 1.0)  # from all that is left
