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
    tables = r"training_sets|(sentiment|paraphrase|sonnet)\.(methods|first_stages|(system_)?search|ensembles|systems)"
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
    if path.stem in ("gpt2", "laptop"):  # which compare prefixes of several kinds, soups and ensembles of poets
        more = re.compile(r"\w_prefix|prefix_\w|_soup|^sonnet[.]ensembles")
        found = [name for name in found if name in expected or not more.search(name)]
    assert found == expected
    assert read(path)["profile"] == path.stem


def test_there_are_six_profiles() -> None:
    assert [path.stem for path in PROFILES] == ["demo", "gpt2", "gpt2_headline", "laptop", "sample", "smollm2"]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_ranges_of_searches(path: Path) -> None:
    """Every row has ranges, on both sides of its own value; those for GPT-2 hold what is best in public."""
    params = load_params(path)
    best = {"sentiment": (1e-5, 1e-5), "paraphrase": (2e-5, 7e-5), "sonnet": (1e-5, 5e-5)}
    for block, public in best.items():
        tables = getattr(params, block)
        for table in tables.RANGES:
            for row in getattr(tables, table):
                _, ranges, values = tables.ranges(table, row)
                assert ranges, f"{block} {row}"
                if block != "paraphrase" and "lr" in values:
                    assert ranges["lr"].log and ranges["lr"].low <= values["lr"] <= ranges["lr"].high, row
        if path.stem.startswith("gpt2"):
            lr = tables.search["any"]["lr"]
            assert lr.low < public[0] and public[1] < lr.high
