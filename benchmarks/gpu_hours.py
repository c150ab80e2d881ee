"""What the GPU profiles take on an H100: what `python -m pipeline estimate` counts, at rates measured on one.

    python -m benchmarks.gpu_hours

The rates are those of benchmarks/results/cuda_*.json: GPT-2 124M in bf16, with batches of 96. At the 32 of most rows
they will be lower; nobody has measured by how much. Rates that were not measured are derived from those, with a margin.
The corpora are counted as the laptop profile found them, and the question pairs are as many as the course has.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

from dvc.repo import Repo
from pandas import DataFrame, Series

from pipeline.commands.estimate import Estimate
from pipeline.config.params import load_params
from pipeline.files import read_json

RESULTS, COUNTS = Path("benchmarks/results"), Path("profiles/results/laptop/data.json")
PAIRS = {"train": 283_003, "dev": 40_429, "test": 80_858}
TOKENS = 43.5  # of a pair, in both benchmarks
SENTENCE = 15  # tokens, of the sentence encoder, which has a sixth of the weights


def main() -> None:
    print(hours().round(2).to_string())


def hours() -> DataFrame:
    """Hours by kind of stage, and in all, of each profile."""
    prices, found = measured(), {}
    for profile in ("gpt2_headline", "gpt2"):
        params = load_params(Path(f"profiles/{profile}.yaml"))
        figures, share = read_json(COUNTS), params.text.select.paraphrase
        pairs = PAIRS | {"train": round((1 - share) * PAIRS["train"]), "select": round(share * PAIRS["train"])}
        figures["paraphrase"] = {name: figures["paraphrase"][name] | {"rows": rows} for name, rows in pairs.items()}
        estimate = Estimate(params, figures, prices)
        costs = Series({name: estimate.seconds(name) / 3600 for name in stages(profile)})
        found[profile] = costs.groupby(lambda name: name.partition("@")[0]).sum()
        found[profile]["all"] = costs.sum()
    return DataFrame(found)


def measured() -> dict[str, float]:
    """Seconds of what `estimate` counts: a token, a step of many texts, a sentence."""
    training, prediction, writing = (
        {row["name"]: row for row in read_json(RESULTS / f"cuda_{name}.json")["rows"]}
        for name in ("training", "evaluation", "generation")
    )
    token = 1 / training["this project, bf16"]["pairs_per_second"] / TOKENS
    read = 1 / prediction["this project, bf16"]["pairs_per_second"] / TOKENS
    step = 256 / writing["this project, top-p, 256 texts"]["tokens_per_second"]  # fewer take less
    return {
        "full": token,
        "adapter": token,
        "head": read,
        "language model": 2 * token,  # all positions have an output of the vocabulary's width
        "prediction": read,
        "sampling": step,
        "encoder": read * SENTENCE / 6,
    }


def stages(profile: str) -> list[str]:
    """The stages that dvc.yaml has with the parameters of a profile."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("dvc.yaml", folder)
        shutil.copy(f"profiles/{profile}.yaml", Path(folder, "params.yaml"))
        with contextlib.chdir(folder):
            Path(".dvc").mkdir()
            return [stage.addressing for stage in Repo(config={"core": {"no_scm": True}}).index.stages]


if __name__ == "__main__":
    main()
