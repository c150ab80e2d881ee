"""Copy the tables of metrics/summary.md into README.md, or check that they are there.

python -m pipeline.report.readme [--check]
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import InputError, stage_main
from pipeline.files import write_text

README = Path("README.md")
SUMMARY = Path("metrics/summary.md")
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def main(arguments: Sequence[str]) -> None:
    """Replace the marked block; with --check only report whether it is up to date."""
    if list(arguments) not in ([], ["--check"]):
        raise InputError("usage: python -m pipeline.report.readme [--check]")
    old = README.read_text(encoding="utf-8")
    new = with_results(old, SUMMARY.read_text(encoding="utf-8"))
    if not arguments:
        write_text(README, new)
    elif new != old:
        raise InputError(f"{README}: the results differ from {SUMMARY}; run `python -m pipeline.report.readme`")


def with_results(readme: str, summary: str) -> str:
    """The README with the block between its marks replaced by the summary: no title, headings one level down."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(END) < readme.index(BEGIN):
        raise InputError(f"{README}: expected {BEGIN} and, below it, {END}, once each")
    lines = summary.rstrip("\n").split("\n")[1:]  # the first line is the title
    block = "\n".join(f"#{line}" if line.startswith("## ") else line for line in lines).strip("\n")
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    stage_main(main)
