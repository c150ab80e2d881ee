"""Copy measured tables into README.md, or check that they are there.

python -m pipeline.report.readme [--check]

Block `results` holds the leaderboards of the committed run (metrics/summary.md has all its tables), block `laptop` the
tables of the laptop profile on real data (profiles/results/laptop/summary.md), block `speed` the tables of
benchmarks/results.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import InputError, stage_main
from pipeline.files import write_text
from pipeline.report import speed

README = Path("README.md")
BLOCKS = {"results": Path("metrics/summary.md"), "laptop": Path("profiles/results/laptop/summary.md")}

LEADERBOARDS = ("Sentiment", "Paraphrase detection", "Sonnets", "Floors that need no model")


def main(arguments: Sequence[str]) -> None:
    """Replace the marked blocks; with --check only report whether they are up to date."""
    if list(arguments) not in ([], ["--check"]):
        raise InputError("usage: python -m pipeline.report.readme [--check]")
    old = README.read_text(encoding="utf-8")
    new = old
    for name, summary in BLOCKS.items():
        text = summary.read_text(encoding="utf-8")
        new = with_block(new, name, leaderboards(text) if name == "results" else text)
    new = with_block(new, "speed", speed.summary(speed.RESULTS))
    if not arguments:
        write_text(README, new)
    elif new != old:
        sources = " or ".join(map(str, [*BLOCKS.values(), speed.RESULTS]))
        raise InputError(f"{README}: the results differ from {sources}; run `python -m pipeline.report.readme`")


def with_block(readme: str, name: str, summary: str) -> str:
    """The README with one block between its marks replaced by a summary: no title, no data counts, headings lower."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(end) < readme.index(begin):
        raise InputError(f"{README}: expected {begin} and, below it, {end}, once each")
    results = summary.split("\n## Data\n")[0]  # the counts of the data stand in metrics/data.json
    lines = results.rstrip("\n").split("\n")[1:]  # the first line is the title
    block = "\n".join(f"#{line}" if line.startswith("## ") else line for line in lines).strip("\n")
    before, rest = readme.split(begin)
    return f"{before}{begin}\n\n{block}\n\n{end}{rest.split(end)[1]}"


def leaderboards(summary: str) -> str:
    """The summary's introduction and its LEADERBOARDS."""
    first, *sections = summary.split("\n## ")
    return "\n## ".join([first, *(section for section in sections if section.split("\n")[0] in LEADERBOARDS)])


if __name__ == "__main__":
    stage_main(main)
