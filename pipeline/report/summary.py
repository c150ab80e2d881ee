"""metrics/summary.md, and the sentences that it shares with the page: what was run, what may be compared with what."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd

from pipeline.config.base import NAME, PARAMS, parse
from pipeline.errors import InputError
from pipeline.report import tables
from pipeline.report.augmentation import Augmentation, augmentation_tables
from pipeline.report.results import Results
from pipeline.report.tables import NOTHING, Table

PROFILES = Path("profiles")
NO_KEY = object()
FLOORS = {"majority": "the majority class", "word_overlap": "word overlap"}  # answers that read nothing or only count
OPTIMAL = {
    "line_mbr": "chrF-optimal: put together line by line so as to score high, which does not make it the best poem",
    "verse": "best quality: every line chosen for rhyme and metre first and then for likelihood, whatever its chrF",
}


def summary(results: Results, tests: pd.DataFrame, sonnet_tests: pd.DataFrame, augmented: Augmentation) -> str:
    """All tables but the page's further ones, with notes."""
    confidence, pairs, params = results.confidence, results.paraphrase, results.params
    systems = params["sonnet"]["systems"].items()
    shown = [
        tables.main_table(results.sentiment, confidence, further=False),
        tables.main_table(pairs, confidence),
        *tables.tests_tables(pairs.rows, tests, confidence),
        tables.ensemble_table(params["paraphrase"]["ensembles"]),
        tables.robustness_table(pairs.rows, confidence),
        *augmentation_tables(augmented),
        tables.main_table(results.sonnets, confidence),
        *tables.sonnet_tables(results, sonnet_tests),
        tables.data_table(results.data),
    ]
    optimal = {text: [name for name, own in systems if own["decoder"] == key] for key, text in OPTIMAL.items()}
    notes = {
        results.sentiment.title: floors_line(results.data, "sst", "cfimdb"),
        pairs.title: floors_line(results.data, "paraphrase"),
        results.sonnets.title: "".join(f"\n{', '.join(names)}: {text}.\n" for text, names in optimal.items() if names),
    }
    intro = f"# Results\n\n{run_line(params)}\n{comparability(params)}\n"
    return intro + "".join(
        f"\n## {found.title}\n\n{tables.markdown(found)}{notes.get(found.title, '')}" for found in shown if found.rows
    )


def run_line(params: Mapping[str, Any]) -> str:
    """What was run, in one line."""
    source, own, hub = (params["backbone"][key] for key in ("source", "scratch", "hub"))
    model = {
        "scratch": f"{own['layers']} layers of width {own['width']}, trained from scratch on {own['tokens']:,} tokens",
        "hub": f"{hub['name']} at {hub['revision'][:7]}",
    }.get(source) or hidden_path(params["backbone"]["path"])
    settings = f"Profile {params['profile']}, seed {params['seed']}, {params['compute']['precision']}"
    return f"{settings}; data from {hidden_path(params['data']['path'])}; backbone {model}."


def comparability(params: Mapping[str, Any]) -> str:
    """Whether the reported figures can be compared with ours."""
    if params["backbone"]["source"] == "scratch":
        return (
            "The reported figures belong to GPT-2 (124M) on the full corpora. This run uses a small model of its own: "
            "compare its rows with each other, not with the reported column."
        )
    return "Nothing was selected on dev: models and checkpoints are chosen on a part of train, and dev is scored once."


def hidden_path(path: str) -> str:
    """A path as it may be shown: an absolute one names its owner's machine, so only its last part is kept."""
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    return PureWindowsPath(path).name if absolute else path


def without_paths(value: Any) -> Any:  # noqa: ANN401 - from YAML
    """Parameters with every path as it may be shown."""
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    return hidden_path(value) if isinstance(value, str) else value


def floors_line(data: Mapping[str, Any], *corpora: str) -> str:
    """What answers that read nothing, or only count shared words, score on dev."""
    dev = {corpus: data.get(corpus, {}).get("dev", {}) for corpus in corpora}
    floors = [f"{FLOORS[key]} {found[key]:.4f}" + (f" ({corpus})" if len(corpora) > 1 else "")
              for corpus, found in dev.items() for key in FLOORS if key in found]  # fmt: skip
    return f"\nFloors on dev: {', '.join(floors)}.\n" if floors else ""


def changed_parameters(params: Mapping[str, Any]) -> Table:
    """Key, value here and value in profiles/<profile>.yaml of each parameter that differs; none gives no rows.

    Raises:
        InputError: there is no such profile.
    """
    name = str(params["profile"])
    path = PROFILES / f"{name}.yaml"
    if not NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(sorted(found.stem for found in PROFILES.glob("*.yaml")))
        raise InputError(f"{PARAMS}: profile: {name!r} has no file in {PROFILES}/; expected one of {known}")
    header = ["Key", "Here", "Profile"]
    return Table(f"Parameters that differ from {path}", header, list(_differences(params, parse(path))), figures=False)


def _differences(here: Any, there: Any, prefix: str = "") -> Iterator[list[str]]:  # noqa: ANN401 - from YAML
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for key in dict.fromkeys([*here, *there]):
            yield from _differences(here.get(key, NO_KEY), there.get(key, NO_KEY), f"{prefix}.{key}".lstrip("."))
    elif here != there:
        yield [prefix, *(NOTHING if value is NO_KEY else hidden_path(value) if isinstance(value, str)
                         else json.dumps(value, ensure_ascii=False) for value in (here, there))]  # fmt: skip
