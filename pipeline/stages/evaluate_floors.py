"""Score what needs no model on the dev sonnets: data/prepared/sonnets -> metrics/sonnets/floors.json.

python -m pipeline.stages evaluate_floors --seed 11711 --bootstrap 2000 --confidence 0.95
"""

from pipeline.config.tasks import evaluation_arguments
from pipeline.errors import InputError
from pipeline.evaluation.generation import floors, full_text, lengths
from pipeline.evaluation.metre import verse_scores
from pipeline.evaluation.predictions import METRICS
from pipeline.files import write_json
from pipeline.text.prepared import PREPARED, lines_of, read_poems


def main(*arguments: str) -> None:
    _, settings = evaluation_arguments(arguments)
    paths = [PREPARED / f"sonnets/{split}.jsonl" for split in ("train", "select", "dev")]
    train, select, dev = poems = [read_poems(path) for path in paths]
    if [] in poems:
        raise InputError(f"{paths[poems.index([])]}: no sonnets; the floors need at least one")
    real = [lines_of(full_text(poem)) for poem in dev]  # whose form as these imperfect measures see it is told, too
    form = {f"real_{name}": value for name, value in (lengths(real) | verse_scores(real)).items()}
    found = floors([*train, *select], dev, settings.confidence, settings.seed)
    write_json(METRICS / "sonnets/floors.json", found | form)
