"""The report's part on augmented data: what every check let through, who wrote the adversarial pairs, examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.augment.adversarial import ADVERSARIAL, VERDICTS, read_candidates
from pipeline.files import read_json
from pipeline.report.results import METRICS, Row
from pipeline.report.tables import Table, number, span

CANDIDATES = Path("data/augmented/adversarial/candidates.csv")
EXAMPLES = 20
FILES = METRICS / "augmentation"
QUALITY = {
    "Mean similarity": ("mean_similarity", 3),
    "chrF to source": ("chrf_to_source", 3),
    "Distinct-2": ("distinct_2", 3),
}
NOT_REASONS = {"backend", "candidates", "accepted", "acceptance_rate", *(key for key, _ in QUALITY.values())}
REPORTED_GATES = ("generator", "meaning_gate", "surface_gate")


@dataclass(frozen=True)
class Augmentation:
    """metrics/augmentation: figures by language, of the adversarial search and by training set."""

    languages: Mapping[str, Mapping[str, Any]]
    apt: Mapping[str, Any]
    sets: Mapping[str, Mapping[str, Any]]

    @property
    def gates(self) -> str:
        """The generator and the gates that were really used, in one line."""
        return "; ".join(f"{key.replace('_', ' ')}: {self.apt[key]}" for key in REPORTED_GATES)


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


def funnels(augmentation: Augmentation) -> dict[str, list[tuple[str, int]]]:
    """Title -> (what, how many) from all candidates down to the accepted ones, one reason after another."""
    found = {}
    for language, figures in augmentation.languages.items():
        steps, left = [("candidates", figures["candidates"])], figures["candidates"]
        for reason in _reasons(figures):
            if figures[reason]:
                left -= figures[reason]
                steps.append((f"− {reason.replace('_', ' ')}", left))
        found[f"Back-translation, {language}"] = steps
    apt = augmentation.apt
    steps = [("candidates", apt["candidates"]), ("new and finished", apt["scored"])]
    steps += [("same meaning", apt["adversarial"] + apt["ordinary"]), ("different words", apt["adversarial"])]
    return found | {"Adversarial paraphrases": steps}


def examples() -> Table:
    """Adversarial pairs in the order they were found, one a question."""
    rows = [row for row in read_candidates(CANDIDATES) if row.verdict == ADVERSARIAL]
    first = {row.question: row for row in reversed(rows)}
    chosen = [row for row in rows if first[row.question] is row][:EXAMPLES]
    lines = [
        [row.question, row.candidate, row.origin.replace("_", " "), *(
            number(value, 3) for value in (row.meaning_forward, row.meaning_backward, row.surface))]
        for row in chosen
    ]  # fmt: skip
    header = ["Question", "Paraphrase", "Origin", "Meaning →", "Meaning ←", "Surface"]
    return Table("Adversarial paraphrases: examples", header, lines, figures=False)


def robustness_tables(rows: Sequence[Row], confidence: float) -> list[Table]:
    """Accuracy on the held-out human adversarial pairs; no table where the data has none."""
    scored = [row for row in rows if "ap_h_accuracy" in row.metrics]
    if not scored:
        return []
    lines = [
        [
            row.name,
            number(row.metrics["ap_h_accuracy"]),
            span(row.metrics["ap_h_accuracy_low"], row.metrics["ap_h_accuracy_high"]),
            number(row.metrics["ap_h_macro_f1"]),
            number(row.metrics["ap_h_recall"]),
        ]
        for row in scored
    ]
    title = f"Robustness: {scored[0].metrics['ap_h_rows']:,} held-out adversarial pairs by people (AP_H)"
    return [Table(title, ["Row", "Accuracy", f"{confidence * 100:g} % interval", "Macro F1", "Recall"], lines)]


def _reasons(figures: Mapping[str, Any]) -> list[str]:
    return [key for key in figures if key not in NOT_REASONS]


def _languages(augmentation: Augmentation) -> Table:
    reasons = _reasons(next(iter(augmentation.languages.values())))
    header = [
        "Language",
        "Candidates",
        "Accepted",
        *(reason.replace("_", " ").capitalize() for reason in reasons),
        *QUALITY,
    ]
    rows = [
        [
            language,
            *(f"{figures[key]:,}" for key in ("candidates", "accepted", *reasons)),
            *(number(figures.get(key), digits) for key, digits in QUALITY.values()),
        ]
        for language, figures in augmentation.languages.items()
    ]
    return Table("Back-translations, accepted and rejected by reason", header, rows)


def _verdicts(augmentation: Augmentation) -> Table:
    apt = augmentation.apt
    keys = ("questions", "questions_with_adversarial", "candidates", "scored", *VERDICTS)
    rates = ("meaning_gate_rate", "surface_gate_rate", "both_gates_rate")
    rows = [[key.replace("_", " "), str(apt[key])] for key in REPORTED_GATES]
    rows += [[key.replace("_", " "), f"{apt[key]:,}"] for key in keys]
    rows += [[key.replace("_", " "), number(apt[key])] for key in rates]
    return Table("Adversarial candidates by verdict", ["What", "Count or rate"], rows, figures=False)


def _rounds(augmentation: Augmentation) -> Table:
    apt = augmentation.apt
    names = [key.removesuffix("_scored") for key in apt if key.endswith("_scored")]
    rows = []
    for name in names:
        scored, found = apt[f"{name}_scored"], apt[f"{name}_adversarial"]
        rows.append([name.replace("_", " "), f"{scored:,}", f"{found:,}", number(found / scored if scored else None)])
    return Table("Acceptance by origin and retry", ["Part", "Scored", "Adversarial", "Rate"], rows)


def _sets(augmentation: Augmentation) -> Table:
    columns = {"Rows": 0, "Augmented": 0, "Available": 0, "Augmented share": 4, "Label 1": 4, "Label 1 before": 4}
    rows = []
    for name, figures in augmentation.sets.items():
        values = [figures[column.lower().replace(" ", "_")] for column in columns]
        rows.append([name, *(f"{value:,}" if isinstance(value, int) else number(value) for value in values)])
    return Table("Training sets with augmented pairs", ["Set", *columns], rows)
