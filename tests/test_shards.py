"""Splitting work over machines, see docs/augmentation.md: two clones with one folder as DVC remote at the same time."""

import ast
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from project_user import Copy, ran
from small_project import REPOSITORY, write_project

from pipeline.augment.adversarial import SEARCH, read_shards
from pipeline.augment.back_translation import TRANSLATIONS, blocks_of, read_translations
from pipeline.config.augmentation import Adversarial
from pipeline.config.base import check, named, parse
from pipeline.errors import InputError
from pipeline.files import write_json, write_jsonl, write_text

CANDIDATES = ("data/augmented/back_translation/es/candidates.csv", "data/augmented/adversarial/candidates.csv")
PARTS = (
    *(f"translations/es/{shard}/translations.jsonl" for shard in (0, 1)),
    *(f"adversarial_search/{shard}/candidates.jsonl" for shard in (0, 1)),
)
METRICS = ("metrics/augmentation/es.json", "metrics/augmentation/apt.json")


@pytest.mark.parametrize("shards", [1, 2, 3, 8])
def test_blocks_are_the_same_for_any_number_of_shards(shards: int) -> None:
    items = list(range(23))
    parts = [blocks_of(items, 5, shard, shards) for shard in range(shards)]
    assert sorted(block for part in parts for block in part) == [items[start : start + 5] for start in range(0, 23, 5)]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Copy:
    """The project with blocks so small that every shard has some, committed with one shard, and a remote; not run."""
    folder = tmp_path_factory.mktemp("shards") / "origin"
    write_project(folder)
    shutil.copytree(REPOSITORY / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("back_translation", "adversarial"):
        sizes = folder / f"pipeline/augment/{name}.py"
        sizes.write_text(re.sub(r"^(SENTENCES|QUESTIONS) = \d+", r"\1 = 2", sizes.read_text(), flags=re.MULTILINE))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(REPOSITORY / name, folder / name)
    project = Copy(folder)
    project.call("git", "init", "-q", "-b", "main")
    project.call("dvc", "init", "-q")
    project.run("dvc remote add --default storage ../storage")
    project.commit()
    return project


def clone(origin: Copy, name: str) -> Copy:
    copy = Copy(origin.folder.parent / name)
    origin.call("git", "clone", "-q", ".", str(copy.folder))
    return copy


def results(project: Copy) -> list[bytes]:
    return [(project.folder / path).read_bytes() for path in CANDIDATES + METRICS]


def both(one: Callable[[], str], other: Callable[[], str]) -> list[set[str]]:
    """The stages that DVC ran for two users who work at the same time."""
    with ThreadPoolExecutor() as pool:
        return [ran(output) for output in pool.map(lambda work: work(), (one, other))]


def test_two_machines_share_the_work_through_a_remote(origin: Copy) -> None:
    origin.run("dvc repro generator")
    whole = origin.duplicate(origin.folder.parent / "whole")
    params = origin.params()
    for block in ("back_translation", "adversarial"):
        params[block]["shards"] = [0, 1]
    origin.write(params)
    origin.commit()
    origin.run("dvc push")

    one, other = clone(origin, "one"), clone(origin, "other")
    assert both(
        lambda: one.run("dvc repro --pull --allow-missing --glob 'translate@*-0'"),
        lambda: other.run("dvc repro --pull --allow-missing --glob 'translate@*-1'"),
    ) == [{"translate@es-0"}, {"translate@es-1"}]
    both(lambda: one.run("dvc push --run-cache"), lambda: other.run("dvc push --run-cache"))
    assert both(
        lambda: one.run("dvc repro --pull --allow-missing adversarial_search@0"),
        lambda: other.run("dvc repro --pull --allow-missing adversarial_search@1"),
    ) == [{"back_translate@es", "adversarial_search@0"}, {"back_translate@es", "adversarial_search@1"}]
    both(lambda: one.run("dvc push --run-cache"), lambda: other.run("dvc push --run-cache"))

    # Another clone only puts together what the remote has.
    joined = clone(origin, "joined")
    assert ran(joined.run("dvc repro --pull --allow-missing adversarial")) == {"back_translate@es", "adversarial"}
    assert not (joined.folder / "data/memory").exists()  # nothing was translated or scored
    whole.run("dvc repro adversarial")
    assert results(joined) == results(whole)
    parts = [(joined.folder / f"data/augmented/{part}").read_text().splitlines() for part in PARTS]
    assert all(parts)
    assert ran(joined.run("dvc repro --allow-missing adversarial")) == set()


def test_shards_of_different_gates_are_not_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for shard, revision in enumerate("ab"):
        write_json(SEARCH / str(shard) / "about.json", {"generator": "lm", "meaning_gate": f"nli {revision}"})
        write_text(SEARCH / str(shard) / "candidates.jsonl", "")
    assert read_shards([0], []) == ([], {"generator": "lm", "meaning_gate": "nli a"})
    with pytest.raises(InputError, match="/1 and .*/0: meaning_gate is 'nli b' and 'nli a'"):
        read_shards([0, 1], [])
    with pytest.raises(InputError, match="adversarial_search: the shards have searched for other questions"):
        read_shards([0], ["Why?"])


def test_translations_of_all_shards_are_read_and_must_be_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    columns = ("source", "translation", "similarity")
    rows = [("a?", "A\r?", None), ("b?", "", 0.5)]
    for shard, row in enumerate(rows):
        write_jsonl(TRANSLATIONS / f"es/{shard}/translations.jsonl", [dict(zip(columns, row, strict=True))])
    assert read_translations("es", [0, 1], ["b?", "a?"]) == {"a?": ("A\r?", None), "b?": ("", 0.5)}
    with pytest.raises(InputError, match="data/augmented/translations/es: 'b\\?' is missing; run `dvc repro`"):
        read_translations("es", [0], ["a?", "b?"])


@pytest.mark.parametrize("shards", [[], [1], [0, 2], [1, 0], [0, 0], [False]])
def test_shards_are_numbered_without_gaps(shards: list[int]) -> None:
    values = parse(REPOSITORY / "profiles/sample.yaml")["adversarial"] | {"shards": shards}
    with pytest.raises(InputError, match=r"params.yaml: adversarial.shards.*"):
        check(values, Adversarial, "adversarial")


def test_an_unknown_shard_is_one_line() -> None:
    assert named([0, 1], "1", "adversarial.shards") == 1
    with pytest.raises(InputError, match="params.yaml: adversarial.shards has no entry '2'; it has 0, 1"):
        named([0, 1], "2", "adversarial.shards")


def test_every_command_of_the_section_is_run_here() -> None:
    section = (REPOSITORY / "docs/augmentation.md").read_text().split("\n## Split over machines\n")[1]
    lines = [line for block in re.findall(r"```\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    commands = [line.split("   #")[0].strip() for line in lines]
    calls = [node for node in ast.walk(ast.parse(Path(__file__).read_text())) if isinstance(node, ast.Call)]
    given = [node.args[0] for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == "run"]
    run_here = {node.value for node in given if isinstance(node, ast.Constant)}
    assert set(commands) == run_here - {"dvc remote add --default storage ../storage", "dvc repro adversarial"} - {
        "dvc repro --allow-missing adversarial"
    }
