"""metrics/summary.md, and the sentences that it shares with the page: what was run, what may be compared with what."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd

from pipeline.config.base import NAME, PARAMS, parse
from pipeline.errors import InputError
from pipeline.report import tables
from pipeline.report.results import Results
from pipeline.report.tables import NOTHING, Table

PROFILES = Path("profiles")
NO_KEY = object()
OPTIMAL = {
    "line_mbr": "chrF-optimal: put together line by line so as to score high, which does not make it the best poem",
    "verse": "best quality: every line chosen for rhyme and metre first and then for likelihood, whatever its chrF",
}


def summary(results: Results, tests: pd.DataFrame, sonnet_tests: pd.DataFrame, more: Sequence[Table]) -> str:
    """All tables but the page's further ones; `more` are those that follow the ones on paraphrases."""
    confidence, pairs = results.confidence, results.paraphrase
    shown = [
        tables.main_table(results.sentiment, confidence),
        tables.main_table(pairs, confidence, tables.PARAPHRASE_F1),
        *tables.tests_table(tests, confidence),
        *tables.seeds_tables(pairs.rows, confidence),
        *more,
        tables.main_table(results.sonnets, confidence, tables.SONNET_EXTRA),
        *tables.sonnet_tests_table(sonnet_tests),
        *tables.sonnet_tables(results),
        *([tables.data_table(results.data)] if results.data else []),
    ]
    notes = {
        results.sentiment.title: floors_line(results.data, "sst cfimdb"),
        pairs.title: floors_line(results.data, "paraphrase"),
        results.sonnets.title: optimal_line(results.params),
    }
    intro = f"# Results\n\n{run_line(results.params)}\n{comparability(results.params)}\n"
    return intro + "".join(
        f"\n## {table.title}\n\n{tables.markdown(table)}{notes.get(table.title, '')}" for table in shown
    )


def run_line(params: Mapping[str, Any]) -> str:
    """What was run, in one line."""
    backbone, compute = params["backbone"], params["compute"]
    source = backbone["source"]
    if source == "scratch":
        own = backbone["scratch"]
        model = f"{own['layers']} layers of width {own['width']}, trained from scratch on {own['tokens']:,} tokens"
    else:
        hub = backbone["hub"]
        model = f"{hub['name']} at {hub['revision'][:7]}" if source == "hub" else hidden_path(backbone["path"])
    data = hidden_path(params["data"]["path"])
    settings = f"Profile {params['profile']}, seed {params['seed']}, {compute['precision']}"
    return f"{settings}; data from {data}; backbone {model}."


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


def optimal_line(params: Mapping[str, Any]) -> str:
    """Which systems are made to score high, and which to be good verse, if any."""
    systems = params["sonnet"]["systems"].items()
    named = {text: [name for name, own in systems if own["decoder"] == key] for key, text in OPTIMAL.items()}
    return "".join(f"\n{', '.join(names)}: {text}.\n" for text, names in named.items() if names)


def floors_line(data: Mapping[str, Any], corpora: str) -> str:
    """What answers that read nothing, or only count shared words, score on dev."""
    names = {"majority": "the majority class", "word_overlap": "word overlap"}
    floors = [
        f"{names[key]} {data[corpus]['dev'][key]:.4f}" + (f" ({corpus})" if " " in corpora else "")
        for corpus in corpora.split()
        for key in names
        if key in data.get(corpus, {}).get("dev", {})
    ]
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
    rows = [[key, _shown(here), _shown(there)] for key, here, there in _differences(params, parse(path))]
    return Table(f"Parameters that differ from {path}", ["Key", "Here", "Profile"], rows, figures=False)


def _differences(here: Any, there: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401 - from YAML
    if not (isinstance(here, Mapping) and isinstance(there, Mapping)):
        if here != there:
            yield prefix, here, there
        return
    for key in dict.fromkeys([*here, *there]):
        inner = f"{prefix}.{key}" if prefix else str(key)
        yield from _differences(here.get(key, NO_KEY), there.get(key, NO_KEY), inner)


def _shown(value: Any) -> str:  # noqa: ANN401 - from YAML
    if value is NO_KEY:
        return NOTHING
    return hidden_path(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
