"""Continue three lines with a system of sonnet.systems.

python -m pipeline sonnet --system top_p_tuned "first line / second line / third line"
"""

import argparse
import re
from pathlib import Path

from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.text.normalise import clean
from pipeline.text.prepared import GIVEN_LINES, PREPARED, Poem, lines_of, read_poems

BACKBONE = Path("models/backbone")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The system, the lines, the seed."""
    parser.add_argument("lines", help="three lines, with slashes or line breaks between them")
    parser.add_argument("--system", required=True, help="an entry of sonnet.systems in params.yaml")
    parser.add_argument("--seed", type=int, help="another number, another poem of a sampler (default: params.yaml's)")


def run(options: argparse.Namespace) -> None:
    """Print a poem that begins with the lines, which are cleaned as `prepare` cleans poems."""
    lines = [line for line in map(clean, re.split(r"[/\n]", options.lines)) if line]
    if len(lines) != GIVEN_LINES:
        raise InputError(f'expected {GIVEN_LINES} lines, as in "first / second / third"; got {len(lines)}')
    print(write_poem(options.system, "\n".join(lines), options.seed))


def write_poem(name: str, prompt: str, seed: int | None) -> str:
    """One poem that begins with `prompt`; of a sampler, the first draw."""
    from transformers.utils import logging

    from pipeline.compute.reproducible import make_deterministic
    from pipeline.config.sonnet import ContrastiveDecoding, LineMBR, Sampler
    from pipeline.decoding.write import generate
    from pipeline.models.adapters import load_language_model
    from pipeline.text.prompts import load_tokenizer

    system = load_params().sonnet.system(name)
    if isinstance(system, Sampler):
        system = system.model_copy(update={"draws": 1})
    folder, compares = Path("models", system.model), isinstance(system, ContrastiveDecoding)
    adapted = (folder / "adapter_config.json").exists()
    for needed in {folder, BACKBONE} if compares or adapted else {folder}:
        if not any(needed.glob("*.safetensors")):
            stage = "backbone" if needed == BACKBONE else f"train_sonnet@{needed.name}"
            raise InputError(f"{needed}: no model; run `dvc repro {stage}`")
    training_lines = []
    if isinstance(system, LineMBR) or system.line_length or system.no_copy_words:
        poems = [poem for split in ("train", "select") for poem in read_poems(PREPARED / f"sonnets/{split}.jsonl")]
        training_lines = list(dict.fromkeys(line for poem in poems for line in lines_of(poem.text or "")))
    logging.disable_progress_bar()
    make_deterministic(load_params().seed, load_params().compute)
    model = load_language_model(folder, BACKBONE)
    amateur = load_language_model(BACKBONE, BACKBONE) if compares else None
    draw = load_params().seed if seed is None else seed
    poem = Poem(0, prompt, None)
    (written,) = generate(model, load_tokenizer(folder), [poem], system, draw, training_lines, amateur).poems
    return written.text
