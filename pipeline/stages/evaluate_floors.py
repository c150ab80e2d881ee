"""Score what needs no model on the dev sonnets: data/prepared/sonnets -> metrics/sonnets/floors.json.

python -m pipeline.stages evaluate_floors --seed 11711 --bootstrap 2000 --confidence 0.95
"""

from collections.abc import Sequence

import numpy as np

from pipeline.config.tasks import evaluation_arguments
from pipeline.errors import InputError
from pipeline.evaluation import verse
from pipeline.evaluation.generation import floors, full_text
from pipeline.evaluation.predictions import METRICS
from pipeline.files import write_json
from pipeline.text.prepared import GIVEN_LINES, PREPARED, SONNET_LINES, Poem, lines_of, read_poems


def main(arguments: Sequence[str]) -> None:
    """Write the floors and the form of the real dev poems."""
    _, settings = evaluation_arguments(arguments)
    train = [poem for split in ("train", "select") for poem in _poems(split)]
    dev = _poems("dev")
    write_json(METRICS / "sonnets/floors.json", floors(train, dev, settings.confidence, settings.seed) | real_form(dev))


def real_form(dev: Sequence[Poem]) -> dict[str, float]:
    """Lines, syllables and rhyme of the real poems, as the imperfect measures of `verse` see them."""
    lines = [lines_of(full_text(poem)) for poem in dev]
    return {
        "real_lines_mean": float(np.mean([len(poem) for poem in lines])),
        "real_exactly_14_lines": float(np.mean([len(poem) == SONNET_LINES for poem in lines])),
        "real_syllables_per_line": float(np.mean([verse.mean_syllables(poem[GIVEN_LINES:]) for poem in lines])),
        "real_rhyme_agreement": float(np.mean([verse.rhyme_agreement(poem) for poem in lines])),
    }


def _poems(split: str) -> list[Poem]:
    path = PREPARED / "sonnets" / f"{split}.jsonl"
    poems = read_poems(path)
    if not poems:
        raise InputError(f"{path}: no sonnets; the floors need at least one")
    return poems
