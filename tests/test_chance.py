"""checks/chance.py: metrics of two runs, with and without a difference."""

import json
from typing import Any

import numpy as np
from small_project import REPOSITORY

from pipeline.checks import chance

Files = dict[str, dict[str, Any]]
ROWS, SEEDS, DRAWS = 24, 5, 20
RUNS = 1000


def drawn(rng: np.random.Generator, seed_sd: float, runs: int = RUNS) -> list[tuple[Files, Files]]:
    """Pairs of tables without a true difference: rows of classifiers, half of them with seeds, systems, and rates.

    With `seed_sd` zero the accuracies differ as those of two samples of rows do, and so do those of the seeds.
    """
    rows = rng.choice([70, 350, 2000], size=ROWS)
    share, rate = rng.uniform(0.3, 0.9, ROWS), rng.uniform(0.05, 0.95, ROWS)
    if seed_sd:
        accuracy = rng.normal(share, seed_sd, (runs, 2, ROWS))
        deviation = rng.normal(share, seed_sd, (runs, SEEDS, ROWS)).std(axis=1, ddof=1)
    else:
        accuracy = rng.binomial(rows, share, (runs, 2, ROWS)) / rows
        deviation = np.zeros((runs, ROWS))
    chrf = rng.normal(35, 2.5, (runs, 2, ROWS, DRAWS))
    chrf_sd, single = chrf.std(axis=-1, ddof=1), chrf[..., 0]
    chrf_mean = chrf.mean(axis=-1)
    accepted = rng.binomial(rows, rate, (runs, 2, ROWS)) / rows

    def files(run: int, side: int) -> Files:
        found: Files = {}
        for row in range(ROWS):
            own: dict[str, Any] = {"rows": int(rows[row]), "accuracy": float(accuracy[run, side, row])}
            if row % 2:
                own |= {"seeds": SEEDS, "seeds_accuracy_sd": float(deviation[run, row])}
            found[f"metrics/paraphrase/{row}.json"] = own
            many = {"draws": DRAWS, "chrf_mean": chrf_mean[run, side, row], "chrf_sd": chrf_sd[run, side, row]}
            found[f"metrics/sonnets/{row}.json"] = (
                many if row % 2 else {"draws": 1, "chrf_mean": single[run, side, row]}
            )
            counts = {"candidates": int(rows[row]), "acceptance_rate": float(accepted[run, side, row])}
            found[f"metrics/augmentation/{row}.json"] = counts
        return found

    return [(files(run, 0), files(run, 1)) for run in range(runs)]


def test_without_a_difference_a_false_alarm_in_the_whole_table_is_rare() -> None:
    verdicts = [chance.compare(*pair) for pair in drawn(np.random.default_rng(1), 0.02)]
    assert {verdict.comparisons for verdict in verdicts} == {3 * ROWS}
    alarms = sum(bool(verdict.findings) for verdict in verdicts)
    expected = chance.FALSE_ALARM * RUNS
    assert alarms <= expected + 3 * expected**0.5, alarms
    assert alarms > 0  # the limits are not so wide that nothing could be found


def test_a_difference_far_outside_is_found_in_each_kind_of_metric() -> None:
    old, new = drawn(np.random.default_rng(2), 0.01, runs=1)[0]
    for path, metric, value in (
        ("metrics/paraphrase/1.json", "accuracy", 1 - round(old["metrics/paraphrase/1.json"]["accuracy"])),
        ("metrics/paraphrase/2.json", "accuracy", 1 - round(old["metrics/paraphrase/2.json"]["accuracy"])),
        ("metrics/sonnets/1.json", "chrf_mean", 25.0),
        ("metrics/sonnets/2.json", "chrf_mean", 10.0),
        ("metrics/augmentation/3.json", "acceptance_rate", 9.0),
    ):
        (finding,) = chance.compare(old, new | {path: new[path] | {metric: value}}).findings
        assert finding.startswith(f"{path}: {metric} {old[path][metric]:.4f} -> {value:.4f}: chance explains")


def test_the_wider_limit_counts() -> None:
    def found(sd: float, rows: int, accuracy: float) -> bool:
        old = {"rows": rows, "accuracy": 0.7, "seeds": 41, "seeds_accuracy_sd": sd}
        return bool(chance.compare({"a.json": old}, {"a.json": old | {"accuracy": accuracy}}).findings)

    # One comparison: 2.58 standard errors with many rows, 2.70 with 40 degrees of freedom.
    assert not found(0.001, 200, 0.59) and found(0.001, 200, 0.57)
    assert not found(0.03, 10**6, 0.59) and found(0.03, 10**6, 0.58)


def test_what_was_not_measured_cannot_be_judged() -> None:
    old = {
        "metrics/sonnets/beam.json": {"draws": 1, "chrf_mean": 30.0},
        "metrics/sentiment/sst.json": {"rows": 200, "accuracy": 0.5},
        "metrics/augmentation/es.json": {"candidates": 0, "acceptance_rate": 0.0},
    }
    verdict = chance.compare(old, {path: dict.fromkeys(file, 1.0) for path, file in old.items()})
    assert (verdict.findings, verdict.comparisons) == ([], 0)
    assert [note.split(":")[0] for note in sorted(verdict.notes)] == [
        f"{metric} of 1 rows cannot be judged" for metric in ("acceptance_rate", "accuracy", "chrf_mean")
    ]
    assert any("too few seeds or rows to tell chance from change; raise `seeds`" in note for note in verdict.notes)
    three = {"metrics/paraphrase/a.json": {"rows": 350, "accuracy": 0.7, "seeds": 3, "seeds_accuracy_sd": 0.066}}
    lost = {path: file | {"accuracy": 0.0} for path, file in three.items()}
    many = {f"metrics/augmentation/{name}.json": {"scored": 100, "both_gates_rate": 0.1} for name in range(200)}
    verdict = chance.compare(three | many, lost | many)
    assert verdict.findings == [] and verdict.notes[0].startswith("accuracy of 1 rows cannot be judged: too few seeds")


def test_a_metric_that_only_one_of_both_has_is_a_finding() -> None:
    path = "metrics/sonnets/top_p.json"
    old = {path: {"draws": 20, "chrf_mean": 30.0, "chrf_sd": 2.0}}
    (finding,) = chance.compare(old, {path: {"draws": 20, "chrf_sd": 2.0}}).findings
    assert finding == f"{path}: chrf_mean is None, committed is 30.0"


def test_the_names_of_metrics_are_those_of_committed_files() -> None:
    known = [json.loads(path.read_text()).keys() for path in sorted((REPOSITORY / "metrics").rglob("*.json"))]
    for metric, count in chance.COUNTS.items():
        assert any({metric, count} <= keys for keys in known), metric
    for metric, (deviation, runs) in chance.DEVIATIONS.items():
        assert any({metric, deviation, runs} <= keys for keys in known), metric
