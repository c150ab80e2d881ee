"""Write with a system: the decoder that params.yaml names, on every prompt at once.

Several processes share the prompts, and each gets all texts.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypedDict

from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.compute.processes import shared
from pipeline.config.sonnet import (
    BeamMBR,
    Beams,
    Contrastive,
    ContrastiveDecoding,
    EnsembleMBR,
    Epsilon,
    LineMBR,
    MinP,
    Sampled,
    SampledMBR,
    Sampler,
    System,
    TopK,
    TopP,
    Verse,
    Writer,
)
from pipeline.decoding.beam_search import BeamSearch, beam_search
from pipeline.decoding.constraints import Constraints
from pipeline.decoding.contrastive_decoding import contrastive_decoding
from pipeline.decoding.contrastive_search import ContrastiveSearch, contrastive_search
from pipeline.decoding.epsilon import keep_epsilon
from pipeline.decoding.mbr import line_mbr, mbr
from pipeline.decoding.min_p import keep_min_p
from pipeline.decoding.poems import encode_prompts, generated, newlines_per_token, sample_poems
from pipeline.decoding.top_k import keep_top_k
from pipeline.decoding.top_p import top_p
from pipeline.decoding.verse import verse
from pipeline.models.adapters import text_length
from pipeline.text.prepared import SONNET_LINES, Generated, Poem


class Limits(TypedDict):
    """What ends the texts of a system, beside their 14 lines and the model's context."""

    constrain: Constraints | None
    max_new_tokens: int | None


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
    training_lines: Sequence[str],
    amateur: GPT2LMHeadModel | None = None,
) -> Written:
    """Continue every prompt with the system's decoder; ordered by draw, then as `poems`.

    A sampler gives `system.draws` independent texts a prompt, the others one. `training_lines` teach the constraints
    and are not used by `line_mbr` and `verse`; `contrastive_decoding` needs an `amateur`.
    """
    constrain = constraints(tokenizer, training_lines, system)
    limits: Limits = {"constrain": constrain, "max_new_tokens": system.max_new_tokens}
    write = partial(_write, model, tokenizer, poems, limits)
    if isinstance(system, Sampler):
        chooser = partial(choose, system=system)
        return Written(sample_poems(model, tokenizer, poems, system.draws, chooser, seed, **limits), [])
    if isinstance(system, Verse):
        chooser = partial(top_p, p=system.top_p, temperature=system.temperature)
        used = set(training_lines)
        whole = shared(
            poems, lambda own: verse(model, tokenizer, own, system.candidates, chooser, seed, used, constrain)
        )
        return Written([Generated(poem.id, 0, poem.prompt, text) for poem, text in zip(poems, whole, strict=True)], [])
    if isinstance(system, Sampled):
        chooser = partial(choose, system=system)
        pool = sample_poems(model, tokenizer, poems, system.samples, chooser, seed, **limits)
    elif isinstance(system, EnsembleMBR):
        chooser = partial(top_p, p=system.top_p, temperature=system.temperature)
        pool = sample_poems(model, tokenizer, poems, system.samples, chooser, seed, **limits)
        contrastive = ContrastiveSearch(system.k, system.alpha, no_repeat_ngram=system.no_repeat_ngram)
        pool = _distinct([*pool, *write(contrastive), *write(_beams(system))])
    elif isinstance(system, Contrastive):
        options = system.model_dump(exclude=set(Writer.model_fields) | {"decoder"})
        pool = write(ContrastiveSearch(**options))
    elif isinstance(system, ContrastiveDecoding):
        assert amateur is not None
        prompts, newlines = encode_prompts(tokenizer, poems, text_length(model)), newlines_per_token(tokenizer)
        texts = shared(
            prompts,
            lambda own: contrastive_decoding(
                model, amateur, own, system.alpha, system.no_repeat_ngram, newlines, SONNET_LINES, **limits
            ),
        )
        pool = [generated(poem, 0, tokenizer, text) for poem, text in zip(poems, texts, strict=True)]
    else:
        pool = write(_beams(system))
    if isinstance(system, Sampled | BeamMBR | EnsembleMBR):
        return Written(shared(poems, lambda own: [_chosen(poem, pool, system, training_lines) for poem in own]), pool)
    return Written([text for text in pool if text.draw == 0], [])


def constraints(tokenizer: Tokenizer, training_lines: Sequence[str], system: System) -> Constraints | None:
    """The system's bans; None without any."""
    if not (system.exact_lines or system.line_length or system.no_copy_words):
        return None
    return Constraints(tokenizer, training_lines, system.exact_lines, system.line_length, system.no_copy_words)


def _beams(system: Beams) -> BeamSearch:
    return BeamSearch(system.beams, system.length_penalty, system.no_repeat_ngram)


def _write(
    model: GPT2LMHeadModel,
    tokenizer: Tokenizer,
    poems: Sequence[Poem],
    limits: Limits,
    options: ContrastiveSearch | BeamSearch,
) -> list[Generated]:
    """All texts of a search, ordered as `poems`, then by rank, which is their `draw`."""
    prompts, newlines = encode_prompts(tokenizer, poems, text_length(model)), newlines_per_token(tokenizer)

    def search(own: Sequence[list[int]]) -> list[list[list[int]]]:
        if isinstance(options, BeamSearch):
            return beam_search(model, own, options, newlines, SONNET_LINES, **limits)
        return [[text] for text in contrastive_search(model, own, options, newlines, SONNET_LINES, **limits)]

    found = shared(prompts, search)
    return [
        generated(poem, rank, tokenizer, tokens)
        for poem, texts in zip(poems, found, strict=True)
        for rank, tokens in enumerate(texts)
    ]


def _distinct(pool: Sequence[Generated]) -> list[Generated]:
    """The first of equal candidates of each prompt, numbered anew."""
    texts: dict[int, dict[str, Generated]] = {}
    for candidate in pool:
        texts.setdefault(candidate.id, {}).setdefault(candidate.text, candidate)
    return [
        Generated(candidate.id, number, candidate.prompt, candidate.text)
        for found in texts.values()
        for number, candidate in enumerate(found.values())
    ]


def _chosen(
    poem: Poem, pool: Sequence[Generated], system: Sampled | BeamMBR | EnsembleMBR, training_lines: Sequence[str]
) -> Generated:
    """The MBR choice for one prompt from its part of the pool."""
    texts = [candidate.text for candidate in pool if candidate.id == poem.id]
    if isinstance(system, LineMBR):
        text = line_mbr(poem.prompt, texts, set(training_lines), system.sweeps)
    else:
        text = texts[mbr(texts, isinstance(system, SampledMBR) and system.aggregated)]
    return Generated(poem.id, 0, poem.prompt, text)


def choose(logits: Tensor, uniforms: Tensor, system: Sampler | Sampled) -> Tensor:
    """The next tokens (rows,) from logits (rows, vocabulary); see pipeline/decoding/top_p.py for `uniforms`."""
    if isinstance(system, TopP):
        return top_p(logits, uniforms, system.top_p, system.temperature)
    if system.temperature != 1:
        logits = logits / system.temperature
    if isinstance(system, TopK):
        logits = keep_top_k(logits, system.top_k)
    elif isinstance(system, MinP):
        logits = keep_min_p(logits, system.min_p)
    elif isinstance(system, Epsilon | Sampled):
        logits = keep_epsilon(logits, system.epsilon)
    return top_p(logits, uniforms, 1.0, 1.0)  # from all that is left
