"""Which parameters differ from the profile that params.yaml began as."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config.base import PARAMS, ROW_NAME, read_params
from pipeline.errors import InputError
from pipeline.report.notes import hidden_path
from pipeline.report.tables import NOTHING, Table

PROFILES = Path("profiles")
NO_KEY = object()


def changed_parameters(params: Mapping[str, Any]) -> Table:
    """Key, value here and value in profiles/<profile>.yaml of each parameter that differs; none gives no rows.

    Raises:
        InputError: there is no such profile.
    """
    name = str(params["profile"])
    path = PROFILES / f"{name}.yaml"
    if not ROW_NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(sorted(found.stem for found in PROFILES.glob("*.yaml")))
        raise InputError(f"{PARAMS}: profile: {name!r} has no file in {PROFILES}/; expected one of {known}")
    rows = [[key, _shown(here), _shown(there)] for key, here, there in _differences(params, read_params(path))]
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
