"""Writing, tokens a second: the course loop, transformers' `generate` and this project's decoders.

    OMP_NUM_THREADS=1 python -m benchmarks.generation [--rounds 3]

Reads the first lines of the sonnets in data/prepared/sonnets/dev.jsonl and the tokenizer of models/backbone. Prompts
are cut to equal length and the model's context ends 128 tokens after them, so that all write the same number of tokens.
The course loop writes one text at a time: the first prompt stands for all.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from benchmarks import course_loop
from benchmarks.measure import Measured, Work, interleaved, seconds, write
from benchmarks.sizes import VOCABULARY, WORDS, config
from pipeline.decoding import beam_search, contrastive_search
from pipeline.decoding.running import Limits, sample
from pipeline.decoding.top_p import top_p
from pipeline.text.prepared import PREPARED, read_poems
from pipeline.text.prompts import load_tokenizer

SIZE = "small"
PROMPTS, NEW = 12, 128
END = VOCABULARY  # a token that does not exist, so that no text ends early
P, TEMPERATURE = 0.9, 1.0
CONTRASTIVE = contrastive_search.Options.model_construct(
    k=4, alpha=0.6, dynamic_alpha=False, mean_similarity=False, repetition_penalty=1.0, no_repeat_ngram=0
)
BEAMS = beam_search.Options.model_construct(beams=5, length_penalty=0.6, no_repeat_ngram=0)
DECODERS = ("top-p", "contrastive search, k 4", "beam search, 5 beams")
LIMITS = Limits([0] * VOCABULARY)  # without line breaks, texts end with the context alone


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tokenizer = load_tokenizer(Path("models/backbone"))
    poems = read_poems(PREPARED / "sonnets" / "dev.jsonl")
    if len(poems) < PROMPTS:
        raise SystemExit(f"error: dev has {len(poems)} sonnets, not {PROMPTS}: prepare real ones, see data.path")
    codes = [tokenizer.encode(poem.prompt).ids for poem in poems[:PROMPTS]]
    prompts = [code[: min(map(len, codes))] for code in codes]
    loops: dict[str, Work] = {}
    for decoder in DECODERS:
        loops[f"course loop, {decoder}"] = partial(course, decoder, prompts[:1])
        if decoder != DECODERS[1]:  # which left transformers
            loops[f"generate, {decoder}"] = partial(generate, decoder, prompts)
        loops[f"this project, {decoder}"] = partial(ours, decoder, prompts)
    found = interleaved(loops, options.rounds, "tokens/s")
    write(
        "generation",
        "Writing",
        f"{len(prompts)} prompts of {len(prompts[0])} tokens, {NEW} new tokens each, with {WORDS[SIZE]}. The course "
        "loop writes one text at a time without a cache, and every pass gives the logits of all positions; it is timed "
        "on one of the prompts. `generate` is transformers' and has all prompts in one batch.",
        options.rounds,
        table(found),
    )


def table(found: dict[str, Measured]) -> list[dict[str, object]]:
    """The rates, and how many times those of the references of the same decoder."""
    lines = []
    for name, row in found.items():
        decoder = name.split(", ", 1)[1]
        line: dict[str, object] = {"name": name, "tokens_per_second": round(row.median, 1)}
        for key, reference in {"course_loop": "course loop", "generate": "generate"}.items():
            if f"{reference}, {decoder}" in found:
                line[f"of_{key}"] = round(row.median / found[f"{reference}, {decoder}"].median, 2)
        lines.append(line | {"peak_mib": row.peak_mib, "values": [round(value, 2) for value in row.values]})
    return lines


def model_for(prompts: Sequence[list[int]], new: int = NEW, size: str = SIZE) -> GPT2LMHeadModel:
    """The same weights for all; its context ends `new` tokens after the prompts."""
    torch.manual_seed(0)
    made = config(size, dropout=0.0, positions=len(prompts[0]) + new)
    made.bos_token_id = made.eos_token_id = END
    return GPT2LMHeadModel(made).eval()


def course(decoder: str, prompts: Sequence[list[int]], number: int) -> float:
    """Tokens a second of the course loop."""
    model = model_for(prompts)
    reference = course_loop.CourseModel(model.config).eval()
    course_loop.copy_weights(model, reference)
    context = model.config.n_positions
    with torch.no_grad():
        reference.read(prompts[0])  # warm
    start = seconds()
    texts = []
    for prompt in prompts:
        if decoder == DECODERS[0]:
            uniforms = torch.rand(NEW, generator=torch.Generator().manual_seed(number)).tolist()
            texts.append(course_loop.top_p(reference, prompt, uniforms, P, TEMPERATURE, END))
        elif decoder == DECODERS[1]:
            k, alpha = CONTRASTIVE.k, CONTRASTIVE.alpha
            texts.append(course_loop.contrastive_search(reference, prompt, k, alpha, context, END))
        else:
            beams, penalty = BEAMS.beams, BEAMS.length_penalty
            texts.append(course_loop.beam_search(reference, prompt, beams, penalty, context, END)[0])
    return _rate(texts, start)


def generate(decoder: str, prompts: Sequence[list[int]], number: int) -> float:
    """Tokens a second of transformers' `generate` with all prompts in one batch."""
    model = model_for(prompts)
    theirs(decoder, model, prompts, number, new=4)  # warm
    start = seconds()
    return _rate(theirs(decoder, model, prompts, number), start)


def theirs(
    decoder: str, model: GPT2LMHeadModel, prompts: Sequence[list[int]], number: int, new: int = NEW
) -> list[list[int]]:
    """The new tokens of all prompts by `generate`."""
    ids = torch.tensor(prompts, device=model.device)
    options: dict[str, object] = {"do_sample": True, "top_p": P, "top_k": 0, "temperature": TEMPERATURE}
    if decoder == DECODERS[2]:
        penalty = BEAMS.length_penalty
        options = {"do_sample": False, "num_beams": BEAMS.beams, "length_penalty": penalty, "early_stopping": True}
    torch.manual_seed(number)
    texts: Tensor = model.generate(
        ids, attention_mask=torch.ones_like(ids), pad_token_id=0, use_cache=True, max_new_tokens=new, **options
    )
    return [[token for token in text if token != END] for text in texts[:, len(prompts[0]) :].tolist()]


def ours(decoder: str, prompts: Sequence[list[int]], number: int) -> float:
    """Tokens a second of this project's decoder."""
    written(decoder, model_for(prompts, new=4), prompts, number)  # warm
    model = model_for(prompts)
    start = seconds()
    return _rate(written(decoder, model, prompts, number), start)


def written(decoder: str, model: GPT2LMHeadModel, prompts: Sequence[list[int]], number: int) -> list[list[int]]:
    """The new tokens of all prompts, of the best beam."""
    if decoder == DECODERS[0]:
        seeds = [number * len(prompts) + row for row in range(len(prompts))]
        return sample(model, prompts, seeds, partial(top_p, p=P, temperature=TEMPERATURE), LIMITS)
    if decoder == DECODERS[1]:
        return contrastive_search.contrastive_search(model, prompts, CONTRASTIVE, LIMITS)
    return [found[0] for found in beam_search.beam_search(model, prompts, BEAMS, LIMITS)]


def _rate(texts: Sequence[list[int]], start: float) -> float:
    """Tokens a second since `start`; a text that ended early would make the comparison unfair."""
    taken = seconds() - start
    assert [len(text) for text in texts] == [NEW] * len(texts)
    return NEW * len(texts) / taken


if __name__ == "__main__":
    main()
