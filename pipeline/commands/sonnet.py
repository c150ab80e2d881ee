"""Continue three lines with a system of sonnet.systems, or an ensemble of models.

python -m pipeline sonnet --system top_p_tuned "first line / second line / third line"
"""

import argparse
import re

from transformers.utils import logging

from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.stages.generate_sonnets import new_writer
from pipeline.text.normalise import clean
from pipeline.text.prepared import GIVEN_LINES, Poem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lines", help="three lines, with slashes or line breaks between them")
    parser.add_argument("--system", required=True, help="an entry of sonnet.systems or sonnet.ensembles")
    parser.add_argument("--seed", type=int, help="another number, another poem of a sampler (default: params.yaml's)")


def run(options: argparse.Namespace) -> None:
    """Print a poem that begins with the lines, which are cleaned as `prepare` cleans poems; of a sampler, one draw."""
    lines = [line for line in map(clean, re.split(r"[/\n]", options.lines)) if line]
    if len(lines) != GIVEN_LINES:
        raise InputError(f'expected {GIVEN_LINES} lines, as in "first / second / third"; got {len(lines)}')
    params = load_params()
    system, seed = params.sonnet.system(options.system), params.seed if options.seed is None else options.seed
    if hasattr(system, "systems"):
        raise InputError(f"{options.system} chooses among poems that are there; expected what writes with a model")
    logging.disable_progress_bar()
    make_deterministic(params.seed, params.compute)
    writer = new_writer(params, system, seed)
    (written,) = system.module.write(writer, [Poem(0, "\n".join(lines), None)], system.once()).poems
    print(written.text)
