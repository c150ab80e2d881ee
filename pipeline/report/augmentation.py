"""The report's part on augmented data: what every check let through, who wrote the adversarial pairs, examples."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.augment.adversarial import ADVERSARIAL, VERDICTS
from pipeline.evaluation.predictions import METRICS
from pipeline.files import read_frame, read_json
from pipeline.report.tables import TABLES, Table, figure, table

CANDIDATES = Path("data/augmented/adversarial/candidates.csv")
GATES = ("generator", "meaning_gate", "surface_gate")
COUNTS = ("questions", "questions_with_adversarial", "candidates", "scored", *VERDICTS)
RATES = ("meaning_gate_rate", "surface_gate_rate", "both_gates_rate")
NOT_REASONS = "backend candidates accepted acceptance_rate mean_similarity chrf_to_source distinct_2".split()


@dataclass(frozen=True)
class Augmentation:
    """metrics/augmentation: figures by language, of the adversarial search and by training set."""

    languages: Mapping[str, Mapping[str, Any]]
    apt: Mapping[str, Any]
    sets: Mapping[str, Mapping[str, Any]]


def load_augmentation(params: Mapping[str, Any]) -> Augmentation:
    """The files of the languages and sets that `params` names."""
    folder = METRICS / "augmentation"
    languages = {name: read_json(folder / f"{name}.json") for name in params["back_translation"]["languages"]}
    sets = {name: read_json(folder / f"sets/{name}.json") for name in params["training_sets"]}
    return Augmentation(languages, read_json(folder / "apt.json"), sets)


def words(key: str) -> str:
    """A key as it is shown."""
    return key.replace("_", " ")


def augmentation_tables(augmentation: Augmentation) -> list[Table]:
    """Training sets, back-translations by language, adversarial candidates by verdict, by origin and retry."""
    languages, apt = augmentation.languages, augmentation.apt
    if not apt:  # no figures were kept
        return []
    sets, counted = ([{"name": name, **own} for name, own in rows.items()] for rows in (augmentation.sets, languages))
    counts = ["candidates", "accepted", *reasons(next(iter(languages.values())))]
    columns = {"Language": "name s"} | {words(key).capitalize(): f"{key} ," for key in counts}
    forms = dict.fromkeys(GATES, "s") | dict.fromkeys(COUNTS, ",") | dict.fromkeys(RATES, ".4f")
    verdicts = [[words(key), figure(apt[key], form)] for key, form in forms.items()]
    names = [key.removesuffix("_scored") for key in apt if key.endswith("_scored")]
    found = [[words(name), apt[f"{name}_scored"], apt[f"{name}_adversarial"]] for name in names]
    rounds = pd.DataFrame(found, columns=["name", "scored", "adversarial"])
    rounds["rate"] = rounds["adversarial"] / rounds["scored"]
    return [
        table("Training sets with augmented pairs", sets, "training_sets"),
        table("Back-translations, accepted and rejected by reason", counted, columns | TABLES["translations"]),
        Table("Adversarial candidates by verdict", ["What", "Count or rate"], verdicts, figures=False),
        table("Acceptance by origin and retry", rounds, "rounds"),
    ]


def reasons(figures: Mapping[str, Any]) -> list[str]:
    """Why candidates of a language were rejected."""
    return [key for key in figures if key not in NOT_REASONS]


def funnels(augmentation: Augmentation) -> pd.DataFrame:
    """Columns source, place, step, left: from all candidates (place 0) down to the accepted ones."""
    found: dict[str, dict[str, int]] = {}
    for language, figures in augmentation.languages.items():
        left = figures["candidates"]
        steps = found[f"Back-translation, {language}"] = {"candidates": left}
        for reason in reasons(figures):
            left -= figures[reason]
            steps |= {f"− {words(reason)}": left} if figures[reason] else {}
    apt, names = augmentation.apt, ("candidates", "new and finished", "same meaning", "different words")
    counts = [apt["candidates"], apt["scored"], apt["adversarial"] + apt["ordinary"], apt["adversarial"]]
    found["Adversarial paraphrases"] = dict(zip(names, counts, strict=True))
    lines = [[source, place, *step] for source, steps in found.items() for place, step in enumerate(steps.items())]
    return pd.DataFrame(lines, columns=["source", "place", "step", "left"])


def examples() -> Table:
    """Adversarial pairs in the order they were found, one a question."""
    scores = dict.fromkeys(["meaning_forward", "meaning_backward", "surface"], "")  # may be missing, a text is not
    columns = ["question", "candidate", "origin", "verdict", *scores]
    rows = read_frame(CANDIDATES, columns, keep_default_na=False, na_values=scores)
    rows = rows[rows["verdict"] == ADVERSARIAL].drop_duplicates("question").head(20)
    rows = rows.assign(origin=rows["origin"].map(words))
    return replace(table("Adversarial paraphrases: examples", rows, "examples"), figures=False)
