"""The report on augmented data: funnels that end in what was accepted, examples, the gates that were really used."""

from pathlib import Path

import pandas as pd
import pytest
from report_project import HOSTILE

from pipeline.augment import adversarial
from pipeline.config.base import PARAMS, parse
from pipeline.files import read_json
from pipeline.report import augmentation, tables


def test_funnels_end_in_what_was_accepted(project: Path) -> None:
    table = augmentation.funnels(augmentation.load_augmentation(parse(PARAMS)))
    funnels = {source: list(zip(part["step"], part["left"], strict=True)) for source, part in table.groupby("source")}
    for language in parse(PARAMS)["back_translation"]["languages"]:
        accepted = read_json(Path(f"metrics/augmentation/{language}.json"))["accepted"]
        steps = funnels[f"Back-translation, {language}"]
        assert steps[0] == ("candidates", 200) and steps[-1][1] == accepted
    for steps in funnels.values():
        counts = [count for _, count in steps]
        assert counts == sorted(counts, reverse=True)
    assert funnels["Adversarial paraphrases"][-1] == ("different words", 5)


def test_examples_are_adversarial_one_a_question(project: Path) -> None:
    table = augmentation.examples()
    found = {row.question: row for row in adversarial.read_candidates(augmentation.CANDIDATES)}
    assert [row[0] for row in table.rows] == [
        question for question, row in found.items() if row.verdict == adversarial.ADVERSARIAL
    ]
    assert len(table.rows) == 5 and table.rows[0][3:] == ["0.900", "0.800", "0.300"]


def test_at_most_20_examples(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        adversarial.Candidate(f"q{number // 2}", f"c{number}", "lm", 0, 1.0, 1.0, 0.0, adversarial.ADVERSARIAL)
        for number in range(100)
    ]
    adversarial.write_candidates(tmp_path / "candidates.csv", rows)
    monkeypatch.setattr(augmentation, "CANDIDATES", tmp_path / "candidates.csv")
    assert [row[1] for row in augmentation.examples().rows] == [f"c{number}" for number in range(0, 40, 2)]


def test_page_and_summary_name_the_gates_and_show_the_tables(project: Path) -> None:
    page = Path("plots/report.html").read_text(encoding="utf-8")
    summary = Path("metrics/summary.md").read_text(encoding="utf-8")
    assert f"meaning gate: stand-in {HOSTILE}" not in page  # escaped
    assert "meaning gate: stand-in &lt;script&gt;" in page
    assert "| meaning gate | stand-in &lt;script>" in summary
    for title in (
        "Robustness: 300 held-out",
        "Training sets",
        "Back-translations",
        "Adversarial candidates",
        "Acceptance",
    ):
        assert f"\n## {title}" in summary and f"<figcaption>{title}" in page
    assert "Adversarial paraphrases: examples" in page and "examples" not in summary
    assert page.count("<svg") >= 4 and "candidates 200; − copy 170; − drift 120" in page


def test_no_robustness_table_without_human_pairs() -> None:
    assert tables.robustness_table(pd.DataFrame({"name": ["baseline"], "accuracy": [0.7]}), 0.95).rows == []
