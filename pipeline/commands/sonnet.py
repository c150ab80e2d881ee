"""Continue three lines with a system of sonnet.systems.

python -m pipeline sonnet --system top_p_tuned "first line / second line / third line"
"""

import argparse
import re
from functools import partial
from pathlib import Path

from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import load_params
from pipeline.decoding.writer import Writer, training_lines
from pipeline.errors import InputError
from pipeline.models.adapters import load_language_model
from pipeline.text.normalise import clean
from pipeline.text.prepared import GIVEN_LINES, PREPARED, Poem
from pipeline.text.prompts import load_tokenizer

BACKBONE = Path("models/backbone")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lines", help="three lines, with slashes or line breaks between them")
    parser.add_argument("--system", required=True, help="an entry of sonnet.systems in params.yaml")
    parser.add_argument("--seed", type=int, help="another number, another poem of a sampler (default: params.yaml's)")


def run(options: argparse.Namespace) -> None:
    """Print a poem that begins with the lines, which are cleaned as `prepare` cleans poems; of a sampler, one draw."""
    lines = [line for line in map(clean, re.split(r"[/\n]", options.lines)) if line]
    if len(lines) != GIVEN_LINES:
        raise InputError(f'expected {GIVEN_LINES} lines, as in "first / second / third"; got {len(lines)}')
    params = load_params()
    system, seed = params.sonnet.system(options.system), params.seed if options.seed is None else options.seed
    folder, lines_of = Path("models", system.model), partial(training_lines, PREPARED / "sonnets")
    logging.disable_progress_bar()
    make_deterministic(params.seed, params.compute)
    writer = Writer(load(folder), load_tokenizer(folder), seed, lines_of, partial(load, BACKBONE))
    (written,) = system.module.write(writer, [Poem(0, "\n".join(lines), None)], system.once()).poems
    print(written.text)


def load(folder: Path) -> PreTrainedModel:
    """The model in a folder, ready to write."""
    for needed in [folder, BACKBONE] if (folder / "adapter_config.json").exists() else [folder]:
        if not any(needed.glob("*.safetensors")):
            stage = "backbone" if needed == BACKBONE else f"train_sonnet@{needed.name}"
            raise InputError(f"{needed}: no model; run `dvc repro {stage}`")
    return load_language_model(folder, BACKBONE)
