"""Continue three lines with a system of sonnet.systems.

python -m pipeline sonnet --system top_p_tuned "first line / second line / third line"
"""

import argparse
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InputError
from pipeline.imports import importing

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The system, the lines, the seed."""
    parser.add_argument("lines", help="three lines, with slashes or line breaks between them")
    parser.add_argument("--system", required=True, help="an entry of sonnet.systems in params.yaml")
    parser.add_argument(
        "--seed", type=int, help="another number, another poem of a sampler (default: that of params.yaml)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the poem."""
    print(write_poem(options.system, prompt_of(options.lines), options.seed))


def prompt_of(text: str) -> str:
    """The three lines, cleaned as `prepare` cleans poems."""
    from pipeline.text.normalise import clean
    from pipeline.text.readers import PROMPT_LINES

    lines = [line for line in map(clean, re.split(r"[/\n]", text)) if line]
    if len(lines) != PROMPT_LINES:
        raise InputError(f'expected {PROMPT_LINES} lines, as in "first / second / third"; got {len(lines)}')
    return "\n".join(lines)


def write_poem(name: str, prompt: str, seed: int | None) -> str:
    """One poem that begins with `prompt`; of a sampler, the first draw."""
    with importing():
        from transformers.utils import logging

        from pipeline.compute.reproducible import make_deterministic
        from pipeline.config.params import load_params
        from pipeline.decoding.writer import Writer, training_lines
        from pipeline.text.prepared import PREPARED, Poem
        from pipeline.text.tokenizer import load_tokenizer

    params = load_params()
    system = params.sonnet.system(name)
    folder, backbone = Path("models") / system.model, Path("models/backbone")
    logging.disable_progress_bar()
    make_deterministic(params.seed, params.compute)
    seed = params.seed if seed is None else seed
    model, lines = load(folder, backbone), partial(training_lines, PREPARED / "sonnets")
    writer = Writer(model, load_tokenizer(folder), seed, lines, partial(load, backbone, backbone))
    (written,) = system.module.write(writer, [Poem(0, prompt, None)], system.once()).poems
    return str(written.text)


def load(folder: Path, backbone: Path) -> "GPT2LMHeadModel | PeftModel":
    """The model in a folder, ready to write."""
    from pipeline.models.adapters import load_language_model

    for needed in [folder, backbone] if (folder / "adapter_config.json").exists() else [folder]:
        if not any(needed.glob("*.safetensors")):
            raise InputError(f"{needed}: no model; run `dvc repro {stage_of(needed)}`")
    return load_language_model(folder, backbone)


def stage_of(folder: Path) -> str:
    """The stage that writes models/backbone or models/sonnet/<row>."""
    return "backbone" if folder.name == "backbone" else f"train_sonnet@{folder.name}"
