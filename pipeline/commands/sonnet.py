"""Continue three lines with a system of sonnet.systems.

python -m pipeline sonnet --system top_p_tuned "first line / second line / third line"
"""

import argparse
import re
from pathlib import Path

from pipeline.errors import InputError
from pipeline.imports import importing


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
    from pipeline.text.lines import GIVEN_LINES
    from pipeline.text.normalise import clean

    lines = [line for line in map(clean, re.split(r"[/\n]", text)) if line]
    if len(lines) != GIVEN_LINES:
        raise InputError(f'expected {GIVEN_LINES} lines, as in "first / second / third"; got {len(lines)}')
    return "\n".join(lines)


def write_poem(name: str, prompt: str, seed: int | None) -> str:
    """One poem that begins with `prompt`; of a sampler, the first draw."""
    with importing():
        from transformers.utils import logging

        from pipeline.compute.reproducible import make_deterministic
        from pipeline.config.base import load_block, load_seed
        from pipeline.config.sonnet import ContrastiveDecoding, LineMBR, Sampler, load_system
        from pipeline.config.training import Compute
        from pipeline.decoding.write import generate
        from pipeline.models.adapters import load_language_model
        from pipeline.text.lines import lines_of
        from pipeline.text.prepared import PREPARED, Poem, read_poems
        from pipeline.text.tokenizer import load_tokenizer

    system = load_system(name)
    if isinstance(system, Sampler):
        system = system.model_copy(update={"draws": 1})
    folder, backbone = Path("models") / system.model, Path("models/backbone")
    for needed in {folder, *([backbone] if isinstance(system, ContrastiveDecoding) or adapted(folder) else [])}:
        if not any(needed.glob("*.safetensors")):
            raise InputError(f"{needed}: no model; run `dvc repro {stage_of(needed)}`")
    training_lines = []
    if isinstance(system, LineMBR) or system.line_length or system.no_copy_words:
        poems = [poem for split in ("train", "select") for poem in read_poems(PREPARED / f"sonnets/{split}.jsonl")]
        training_lines = list(dict.fromkeys(line for poem in poems for line in lines_of(poem.text or "")))
    logging.disable_progress_bar()
    seed = load_seed() if seed is None else seed
    make_deterministic(load_seed(), load_block("compute", Compute))
    model = load_language_model(folder, backbone)
    amateur = load_language_model(backbone, backbone) if isinstance(system, ContrastiveDecoding) else None
    poem = Poem(0, prompt, None)
    (written,) = generate(model, load_tokenizer(folder), [poem], system, seed, training_lines, amateur).poems
    return written.text


def adapted(folder: Path) -> bool:
    """Whether it holds an adapter of the backbone."""
    return (folder / "adapter_config.json").exists()


def stage_of(folder: Path) -> str:
    """The stage that writes models/backbone or models/sonnet/<row>."""
    return "backbone" if folder.name == "backbone" else f"train_sonnet@{folder.name}"
