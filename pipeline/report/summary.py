"""metrics/summary.md, and the sentences that it shares with the page: what was run, what may be compared with what."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config.base import NAME, PARAMS, parse
from pipeline.errors import InputError
from pipeline.report import tables
from pipeline.report.augmentation import Augmentation, augmentation_tables
from pipeline.report.results import Results
from pipeline.report.tables import NOTHING, Table

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).parent
PROFILES = Path("profiles")
NO_KEY = object()


def summary(results: Results, tests: pd.DataFrame, sonnet_tests: pd.DataFrame, augmented: Augmentation) -> str:
    """All tables but the page's further ones, with notes."""
    confidence, pairs, params = results.confidence, results.paraphrase, results.params
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
    return template("summary.md.j2").render(params=params, data=results.data, tables=shown)


def template(name: str) -> "Template":
    """A template of this folder; markup in values is escaped but in Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    escape = select_autoescape(("html.j2", "svg.j2"))
    options: dict[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=escape, **options)
    environment.filters |= {"hidden_path": hidden_path, "markdown": tables.markdown}
    return environment.get_template(name)


def comparability(params: Mapping[str, Any]) -> str:
    """Whether the reported figures can be compared with ours."""
    sentences: Any = template("sentences.j2").module
    return str(sentences.comparability(params))


def hidden_path(path: str) -> str:
    """A path as it may be shown: an absolute one names its owner's machine, so only its last part is kept."""
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    return PureWindowsPath(path).name if absolute else path


def without_paths(value: Any) -> Any:  # noqa: ANN401 - from YAML
    """Parameters with every path as it may be shown."""
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    return hidden_path(value) if isinstance(value, str) else value


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
