"""Every committed profile is a complete and valid parameter file."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.config.params import check_methods, load_params

FOLDER = Path(__file__).parents[1] / "profiles"
PROFILES = sorted(FOLDER.glob("*.yaml"))
SAMPLE = FOLDER / "sample.yaml"


def read(path: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def keys(tree: object, above: str = "") -> list[str]:
    """Every nested key, in the order of the file."""
    if not isinstance(tree, dict):
        return []
    return [name for key, value in tree.items() for name in (f"{above}{key}", *keys(value, f"{above}{key}."))]


def without(names: list[str], depth: int) -> list[str]:
    """Keys without those of rows, depth 1, or without what stands in rows, depth 2."""
    tables = r"training_sets|(sentiment|paraphrase|sonnet)\.(methods|first_stages|search|ensembles|systems)"
    return [name for name in names if not re.match(rf"({tables})(\.[^.]+){{{depth}}}", name)]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_valid_and_has_the_keys_of_the_sample(path: Path) -> None:
    check_methods(load_params(path), path)
    found, expected = keys(read(path)), keys(read(SAMPLE))
    depth = 1 if path.stem in ("demo", "gpt2_headline", "smollm2") else 2  # these are parts of the table
    found, expected = without(found, depth), without(expected, depth)
    if path.stem == "gpt2":  # has more of the rows that were reported, and none that wants AP_H
        found = [name for name in found if name in expected or "_as_reported" not in name]
        expected = [name for name in expected if not name.endswith(".apt_human")]
    found = [name for name in found if name in expected or not name.startswith("sonnet.ensembles.")]  # it has few
    assert found == expected
    assert read(path)["profile"] == path.stem


def test_there_are_six_profiles() -> None:
    assert [path.stem for path in PROFILES] == ["demo", "gpt2", "gpt2_headline", "laptop", "sample", "smollm2"]
