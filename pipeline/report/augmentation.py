"""The report's part on augmented data: what every check let through, who wrote the adversarial pairs, examples."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.augment.adversarial import ADVERSARIAL, VERDICTS
from pipeline.evaluation.predictions import METRICS
from pipeline.files import read_frame, read_json
from pipeline.report.tables import Table, number, numbers, percent, spans, table_of

CANDIDATES = Path("data/augmented/adversarial/candidates.csv")
EXAMPLES = 20
FILES = METRICS / "augmentation"
QUALITY = {
    "Mean similarity": ("mean_similarity", 3),
    "chrF to source": ("chrf_to_source", 3),
    "Distinct-2": ("distinct_2", 3),
}
NOT_REASONS = {"backend", "candidates", "accepted", "acceptance_rate", *(key for key, _ in QUALITY.values())}
GATES = ("generator", "meaning_gate", "surface_gate")


@dataclass(frozen=True)
class Augmentation:
    """metrics/augmentation: figures by language, of the adversarial search and by training set."""

    languages: Mapping[str, Mapping[str, Any]]
    apt: Mapping[str, Any]
    sets: Mapping[str, Mapping[str, Any]]

    @property
    def gates(self) -> str:
        """The generator and the gates that were really used, in one line."""
        return "; ".join(f"{_words(key)}: {self.apt[key]}" for key in GATES)


def load_augmentation(params: Mapping[str, Any]) -> Augmentation:
    """The files of the languages and sets that `params` names."""
    return Augmentation(
        {language: read_json(FILES / f"{language}.json") for language in params["back_translation"]["languages"]},
        read_json(FILES / "apt.json"),
        {name: read_json(FILES / "sets" / f"{name}.json") for name in params["training_sets"]},
    )


def augmentation_tables(augmentation: Augmentation) -> list[Table]:
    """Training sets, back-translations by language, adversarial candidates by verdict, by origin and retry."""
    return [_sets(augmentation), _languages(augmentation), _verdicts(augmentation), _rounds(augmentation)]


def funnels(augmentation: Augmentation) -> pd.DataFrame:
    """Columns source, place, step, left: from all candidates (place 0) down to the accepted ones."""
    found: dict[str, dict[str, int]] = {}
    for language, figures in augmentation.languages.items():
        left = figures["candidates"]
        steps = found[f"Back-translation, {language}"] = {"candidates": left}
        for reason in _reasons(figures):
            left -= figures[reason]
            steps |= {f"− {_words(reason)}": left} if figures[reason] else {}
    apt = augmentation.apt
    found["Adversarial paraphrases"] = {
        "candidates": apt["candidates"],
        "new and finished": apt["scored"],
        "same meaning": apt["adversarial"] + apt["ordinary"],
        "different words": apt["adversarial"],
    }
    lines = [[source, place, *step] for source, steps in found.items() for place, step in enumerate(steps.items())]
    return pd.DataFrame(lines, columns=["source", "place", "step", "left"])


def examples() -> Table:
    """Adversarial pairs in the order they were found, one a question."""
    scores = ["meaning_forward", "meaning_backward", "surface"]
    columns = ["question", "candidate", "origin", "verdict", *scores]
    rows = read_frame(CANDIDATES, columns, keep_default_na=False, na_values=dict.fromkeys(scores, ""))
    rows = rows[rows["verdict"] == ADVERSARIAL].drop_duplicates("question").head(EXAMPLES)
    cells = {
        "Question": rows["question"],
        "Paraphrase": rows["candidate"],
        "Origin": rows["origin"].map(_words),
        "Meaning →": numbers(rows["meaning_forward"], 3),
        "Meaning ←": numbers(rows["meaning_backward"], 3),
        "Surface": numbers(rows["surface"], 3),
    }
    return table_of("Adversarial paraphrases: examples", cells, figures=False)


def robustness_tables(rows: pd.DataFrame, confidence: float) -> list[Table]:
    """Accuracy on the held-out human adversarial pairs; no table where the data has none."""
    if "ap_h_accuracy" not in rows:
        return []
    rows = rows[rows["ap_h_accuracy"].notna()]
    title = f"Robustness: {rows['ap_h_rows'].iloc[0]:,.0f} held-out adversarial pairs by people (AP_H)"
    columns = {
        "Row": rows["name"],
        "Accuracy": numbers(rows["ap_h_accuracy"]),
        percent(confidence): spans(rows["ap_h_accuracy_low"], rows["ap_h_accuracy_high"]),
        "Macro F1": numbers(rows["ap_h_macro_f1"]),
        "Recall": numbers(rows["ap_h_recall"]),
    }
    return [table_of(title, columns)]


def _words(key: str) -> str:
    return key.replace("_", " ")


def _reasons(figures: Mapping[str, Any]) -> list[str]:
    return [key for key in figures if key not in NOT_REASONS]


def _languages(augmentation: Augmentation) -> Table:
    languages = augmentation.languages
    counts = ["candidates", "accepted", *_reasons(next(iter(languages.values())))]
    columns = {_words(key).capitalize(): [f"{own[key]:,}" for own in languages.values()] for key in counts}
    quality = {
        heading: numbers((own.get(key) for own in languages.values()), digits)
        for heading, (key, digits) in QUALITY.items()
    }
    title = "Back-translations, accepted and rejected by reason"
    return table_of(title, {"Language": languages, **columns, **quality})


def _verdicts(augmentation: Augmentation) -> Table:
    apt = augmentation.apt
    keys = ("questions", "questions_with_adversarial", "candidates", "scored", *VERDICTS)
    rates = ("meaning_gate_rate", "surface_gate_rate", "both_gates_rate")
    rows = [[_words(key), str(apt[key])] for key in GATES]
    rows += [[_words(key), f"{apt[key]:,}"] for key in keys]
    rows += [[_words(key), number(apt[key])] for key in rates]
    return Table("Adversarial candidates by verdict", ["What", "Count or rate"], rows, figures=False)


def _rounds(augmentation: Augmentation) -> Table:
    apt = augmentation.apt
    rows = []
    for name in [key.removesuffix("_scored") for key in apt if key.endswith("_scored")]:
        scored, found = apt[f"{name}_scored"], apt[f"{name}_adversarial"]
        rows.append([_words(name), f"{scored:,}", f"{found:,}", number(found / scored if scored else None)])
    return Table("Acceptance by origin and retry", ["Part", "Scored", "Adversarial", "Rate"], rows)


def _sets(augmentation: Augmentation) -> Table:
    sets = augmentation.sets
    counts = {key: [f"{own[key.lower()]:,}" for own in sets.values()] for key in ("Rows", "Augmented", "Available")}
    shares = {
        key: numbers(own[key.lower().replace(" ", "_")] for own in sets.values())
        for key in ("Augmented share", "Label 1", "Label 1 before")
    }
    return table_of("Training sets with augmented pairs", {"Set": sets, **counts, **shares})
