"""`python -m pipeline rows`: the state of rows; and wrong commands."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from small_project import REPOSITORY, small_params

from pipeline.__main__ import main
from pipeline.commands.rows import differing

PIPELINE = """
stages:
  train_paraphrase:
    foreach: ${paraphrase.methods}
    do:
      cmd: mkdir -p models/paraphrase/${key} && head -c 2097152 /dev/zero > models/paraphrase/${key}/weights
      deps: [seed.txt]
      params: ["paraphrase.methods.${key}"]
      outs: ["models/paraphrase/${key}"]
  report:
    cmd: ls models/paraphrase/* > report.txt
    deps: [models/paraphrase]
    outs: [report.txt]
"""


def test_rows_follow_what_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    params = small_params("course")
    methods = params["paraphrase"]["methods"]
    for name in methods.keys() - {"baseline", "mean_pooling"}:
        del methods[name]
    params["paraphrase"]["ensembles"] = {"both": {"members": list(methods), "weights": "equal"}}
    write_params(params)
    Path("seed.txt").write_text("seed")
    Path("dvc.yaml").write_text(PIPELINE)
    Path(".gitignore").write_text("/models/\n/report.txt\n")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    assert states(capsys) == {"baseline": ["never", "run", "–"], "mean_pooling": ["never", "run", "–"]}
    assert re.search("^baseline +never run +- ", on_an_ascii_terminal("rows"), re.MULTILINE)

    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    assert states(capsys) == {"baseline": ["up", "to", "date"], "mean_pooling": ["up", "to", "date"]}
    # One row's parameter: that row is stale.
    methods["mean_pooling"]["lr"] = 0.5
    write_params(params)
    found = states(capsys)
    assert found["mean_pooling"][0] == "stale" and found["baseline"] == ["up", "to", "date"]


def write_params(params: dict[str, Any]) -> None:
    with open("params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)


def on_an_ascii_terminal(*words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, encoding="ascii").stdout


def states(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """What `rows` says about the rows of paraphrase.methods."""
    main(["rows"])
    table = capsys.readouterr().out.split("paraphrase.methods\n")[1].split("\n\n")[0].splitlines()
    assert table[0].split() == ["Row", "Status", "Model", "Parameters"]
    return {line.split()[0]: line.split()[1:4] for line in table[1:]}


def test_only_what_differs_from_the_defaults_is_shown() -> None:
    defaults = {"lr": 0.1, "pooling": "last", "exact": False}
    assert differing({"lr": 0.1, "pooling": "mean", "exact": True}, defaults) == "pooling mean, exact true"
    assert differing({"words": [1, "x"], "adapter": None}, {}) == "words [1, x], adapter null"
    assert differing({}, defaults) == ""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "arguments are required: COMMAND"),
        (["forecast"], 2, "invalid choice: 'forecast' (choose from 'predict', 'sonnet', 'demo', "),
        (["sonnet", "a/b/c"], 2, "arguments are required: --system"),
        (["--help"], 0, ""),
    ],
)
def test_a_wrong_command_says_which_there_are(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    assert ended.value.code == code and says in printed.err
    assert "Traceback" not in printed.err and (code or "up to date" in printed.out)
