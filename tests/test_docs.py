"""README.md and docs/: short, linked, true to dvc.yaml and the code; their generated blocks are filled and checked."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
from dvc.repo import Repo
from ruamel.yaml import YAML
from torch import Tensor

from pipeline.__main__ import main
from pipeline.errors import InputError
from pipeline.files import write_json, write_text

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
GENERATED = re.compile(r"<!-- (\w+):begin -->.*?<!-- \1:end -->", re.DOTALL)
TOP = "pipeline data metrics plots profiles tests benchmarks examples docs code models predictions checkpoints .ci .dvc"
PATH = re.compile(rf"(?<![\w./])(?:{'|'.join(map(re.escape, TOP.split()))})/[\w.@<>*/-]+")


@cache
def text(page: str) -> str:
    """A page without its generated blocks."""
    return GENERATED.sub("", (ROOT / page).read_text(encoding="utf-8"))


def prose(page: str) -> str:
    """... and without code blocks, on one line, as a code span may go over two."""
    return " ".join(CODE.sub("", text(page)).split())


def spans(page: str) -> list[str]:
    return re.findall(r"`([^`]+)`", prose(page))


def commands(page: str) -> Iterator[str]:
    """The lines of its code blocks without a language, and its code spans."""
    for language, block in CODE.findall(text(page)):
        if not language:
            yield from block.splitlines()
    yield from spans(page)


def anchors(page: str) -> set[str]:
    """What GitHub makes of the headings, those of generated blocks included."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def written_by_a_run(path: str) -> bool:
    return subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0


def test_the_readme_is_one_page_with_pictures() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 200
    pictures = re.findall(r"!\[([^\]]{20,})\]\((\S+\.svg)\)", readme)
    assert len(pictures) >= 2 and "```mermaid\n" in readme
    assert [path for _, path in pictures if "<svg" not in (ROOT / path).read_text(encoding="utf-8")] == []
    headline = readme.split("<!-- headline:begin -->")[1].split("<!-- headline:end -->")[0]
    assert 3 <= headline.count("\n| ") <= 2 + 13


def test_the_readme_links_to_every_page_and_every_page_back() -> None:
    assert [page for page in PAGES[1:] if f"]({page})" not in text("README.md")] == []
    for page in PAGES[1:]:
        assert re.match(r"# [^\n]+\n\n[A-Z][^\n]+\. \[Back to the README\]\(\.\./README\.md\)\.\n", text(page)), page


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not path.startswith("https://"):
            there = target.exists() and (not anchor or anchor in anchors(str(target.resolve().relative_to(ROOT))))
            broken += [] if there else [link]
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist_or_are_written_by_a_run(page: str) -> None:
    found = {path.rstrip(".") for span in spans(page) for path in PATH.findall(span)}
    patterns = {path: re.sub("<[a-z]+>", "*", path) for path in found}
    missing = [path for path, pattern in patterns.items() if not any(ROOT.glob(pattern.rstrip("/")))]
    assert sorted(path for path in missing if not written_by_a_run(patterns[path])) == []
    assert re.findall(r"(?<![\w.:/>*])/(?:home|work|tmp|root|usr)/\S*", text(page)) == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    known = re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    targets = (ROOT / "Makefile").read_text().splitlines()
    wrong = []
    for line in commands(page):
        made = re.findall(r"^make ([a-z]+)", line)
        wrong += [f"make {name}" for name in made if not any(target.startswith(f"{name}:") for target in targets)]
        for module, word in re.findall(
            r"(?:python|per-node \d) -m (pipeline[\w.]*|benchmarks\.\w+)(?: ([a-z]\w*))?", line
        ):
            path = ROOT / module.replace(".", "/")
            runs = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
            knows = word in known if module == "pipeline" else not path.is_dir() or (path / f"{word}.py").exists()
            knows = knows or f'add_parser("{word}"' in (path / "__main__.py").read_text()
            wrong += [] if runs and (not word or knows) else [f"{module} {word}".strip()]
        for path in re.findall(r"python ([a-z]+/\S+)", line):
            wrong += [] if (ROOT / path / "__main__.py").exists() else [path]
    assert wrong == []


def test_the_diagram_shows_the_stages_of_dvc_yaml_and_how_they_depend() -> None:
    diagram = dict(CODE.findall(text("README.md")))["mermaid"]
    shown = set()
    for line in re.sub(r"\[.*?\]", "", diagram).splitlines()[1:]:
        chain = [set(part.replace(" ", "").split("&")) for part in line.split("-->")]
        shown |= {(a, b) for left, right in zip(chain, chain[1:], strict=False) for a in left for b in right}
    with Repo(str(ROOT)) as repo:
        graph = repo.index.graph
    edges = {(b.addressing.split("@")[0], a.addressing.split("@")[0]) for a, b in graph.edges}
    assert shown - edges == set()
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].keys()
    assert stages - {name for edge in shown for name in edge} == {"code"}


def test_the_plan_of_the_house_names_what_is_there() -> None:
    tree = CODE.findall(text("docs/architecture.md"))[0][1]
    entries = (path for path in (ROOT / "pipeline").iterdir() if path.is_dir() or path.suffix == ".py")
    there = {path.name for path in entries if path.name not in ("__init__.py", "__pycache__")}
    assert set(re.findall(r"^  ([\w.]+)", tree, re.MULTILINE)) == there
    layers = CODE.findall(text("docs/architecture.md"))[2][1].split()
    assert set(layers) == {name.removesuffix(".py") for name in there if name != "__main__.py"}


def test_the_objective_of_the_readme_trains() -> None:
    """Copied, cut and completed as the README says; without a focus, the focal loss is cross-entropy."""
    code, row = (block for language, block in CODE.findall(text("README.md")) if language in ("python", "yaml"))
    source = (ROOT / "pipeline/objectives/cross_entropy.py").read_text()
    kept = re.match(r".*?^VIEWS[^\n]*\n", source, re.DOTALL | re.MULTILINE)
    assert kept is not None
    focal = ModuleType("focal")
    exec(compile(kept[0] + code, "focal.py", "exec"), vars(focal))
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])

    def model(ids: Tensor, lengths: Tensor) -> Tensor:
        return logits

    batch = {"input_ids": torch.ones(3, 2), "lengths": torch.tensor([2, 2, 2]), "labels": torch.tensor([0, 1, 1])}
    entropy = torch.nn.functional.cross_entropy(logits, batch["labels"])
    options = YAML(typ="safe").load(row)["focal"]["options"]
    assert focal.loss(model, batch, focal.Options(gamma=0))[0].item() == pytest.approx(entropy.item())
    assert 0 < focal.loss(model, batch, focal.Options(**options))[0] < entropy


def test_the_row_of_the_readme_has_the_keys_of_a_row() -> None:
    row = YAML(typ="safe").load(
        next(block for language, block in CODE.findall(text("README.md")) if language == "yaml")
    )
    paraphrase = YAML(typ="safe").load(ROOT / "params.yaml")["paraphrase"]
    assert row["focal"].keys() == (paraphrase["methods"]["r_drop"]).keys()


def test_blocks_are_filled_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    marks = {
        name: f"<!-- {name}:begin -->\nold\n<!-- {name}:end -->\n"
        for name in "headline poem results smollm2 laptop speed recipes".split()
    }
    write_text(Path("README.md"), f"top\n{marks['headline']}{marks['poem']}end\n")
    write_text(Path("docs/results.md"), marks["results"] + marks["smollm2"] + marks["laptop"])
    write_text(Path("docs/performance.md"), marks["speed"])
    write_text(Path("docs/methods.md"), marks["recipes"])
    write_text(
        Path("metrics/summary.md"),
        "# Results\n\nA line.\n\n## Sentiment\n\n| a |\n\n## Form\n\n| b |\n\n## Data\n\n| c |\n",
    )
    real, poem = Path("profiles/results"), "Shall I compare thee\nto a summer's day?"
    write_text(real / "laptop/summary.md", "# Results\n\nReal.\n\n## Form\n\n| d |\n")
    write_text(real / "smollm2/summary.md", "# Results\n\nPre-trained.\n")
    write_text(real / "smollm2/poem.txt", f"{poem}\n")
    row = {"accuracy": 0.5354, "accuracy_low": 0.4, "accuracy_high": 0.6, "handout_accuracy": 0.51}
    write_json(real / "smollm2/sentiment/sst_full.json", row)
    write_json(real / "smollm2/sonnets/verse.json", {"chrf_mean": 42.42})
    write_json(Path("metrics/sonnets/line_mbr.json"), {"chrf_mean": 45})  # that run lacks it
    result = {"title": "Writing", "what": "Poems.", "rounds": 1, "machine": "a machine"}
    rows = [{"name": "fast", "seconds": 1234.5, "peak_mib": None, "values": [1]}, {"name": "slow", "seconds": None}]
    write_json(Path("benchmarks/results/generation.json"), result | {"rows": rows})
    tried = [{"name": "any rows", "select_accuracy": 0.7, "seeds": 1, "values": [0.7]}]
    write_json(Path("benchmarks/results/recipes_quotas.json"), result | {"title": "Quotas", "rows": tried})
    with pytest.raises(InputError, match="README.md: .* run `make docs`"):
        main(["docs", "--check"])
    main(["docs"])
    main(["docs", "--check"])
    readme = Path("README.md").read_text(encoding="utf-8")
    assert readme.startswith("top\n<!-- headline:begin -->\n\n| ")
    written = f"<!-- poem:begin -->\n\n```\n{poem}\n```\n\n<!-- poem:end -->\n"
    assert readme.endswith(f" |\n\n<!-- headline:end -->\n{written}end\n")
    assert " | `sst_full` | 0.535 | 0.400 to 0.600 | 0.510 |\n" in readme
    assert " | `verse` | 42.4 | – | – |\n" in readme and "line_mbr" not in readme
    assert Path("docs/results.md").read_text() == (
        "<!-- results:begin -->\n\nA line.\n\n### Sentiment\n\n| a |\n\n<!-- results:end -->\n"
        "<!-- smollm2:begin -->\n\nPre-trained.\n\n<!-- smollm2:end -->\n"
        "<!-- laptop:begin -->\n\nReal.\n\n### Form\n\n| d |\n\n<!-- laptop:end -->\n"
    )
    speed = (
        "### Writing\n\nPoems. One round; a machine.\n\n|  | s |\n| --- | ---: |\n| fast | 1,234.5 |\n| slow | – |\n"
    )
    assert speed in (page := Path("docs/performance.md").read_text(encoding="utf-8")) and "Quotas" not in page
    assert "| any rows | 0.7 | 1 |" in Path("docs/methods.md").read_text(encoding="utf-8")
    write_text(Path("docs/performance.md"), "no marks")
    with pytest.raises(InputError, match="docs/performance.md: expected <!-- speed:begin -->.*once each"):
        main(["docs"])
