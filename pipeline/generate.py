"""Write with a system: the decoder that params.yaml names, on every prompt at once."""

from collections.abc import Sequence
from functools import partial

from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.sonnet import Beam, Contrastive, Epsilon, MinP, System, TopK, TopP
from pipeline.decoding.beam_search import BeamSearch, beam_search
from pipeline.decoding.contrastive_search import ContrastiveSearch, contrastive_search
from pipeline.decoding.epsilon import keep_epsilon
from pipeline.decoding.min_p import keep_min_p
from pipeline.decoding.top_k import keep_top_k
from pipeline.decoding.top_p import top_p
from pipeline.poems import LINES, Generated, encode_prompts, generated, newlines_per_token, sample_poems
from pipeline.text.prepared import Poem


def generate(
    model: GPT2LMHeadModel, tokenizer: Tokenizer, poems: Sequence[Poem], system: System, seed: int
) -> list[Generated]:
    """Continue every prompt with the system's decoder; ordered by draw, then as `poems`.

    A sampler gives `system.draws` independent texts a prompt, the others one.
    """
    if not isinstance(system, Contrastive | Beam):
        return sample_poems(model, tokenizer, poems, system.draws, partial(choose, system=system), seed)
    prompts, newlines = encode_prompts(tokenizer, poems, model.config.n_positions), newlines_per_token(tokenizer)
    if isinstance(system, Contrastive):
        options = ContrastiveSearch(**system.model_dump(exclude={"model", "decoder"}))
        written = contrastive_search(model, prompts, options, newlines, LINES)
    else:
        beams = BeamSearch(system.beams, system.length_penalty, system.no_repeat_ngram)
        written = [texts[0] for texts in beam_search(model, prompts, beams, newlines, LINES)]
    return [generated(poem, 0, tokenizer, tokens) for poem, tokens in zip(poems, written, strict=True)]


def choose(logits: Tensor, uniforms: Tensor, system: TopP | TopK | MinP | Epsilon) -> Tensor:
    """The next tokens (rows,) of a sampler from logits (rows, vocabulary); see pipeline/decoding/top_p.py."""
    if isinstance(system, TopP):
        return top_p(logits, uniforms, system.top_p, system.temperature)
    logits = logits / system.temperature
    if isinstance(system, TopK):
        logits = keep_top_k(logits, system.top_k)
    elif isinstance(system, MinP):
        logits = keep_min_p(logits, system.min_p)
    else:
        logits = keep_epsilon(logits, system.epsilon)
    return top_p(logits, uniforms, 1.0, 1.0)  # from all that is left
