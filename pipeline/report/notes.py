"""The sentences of the report: what was run, what may be compared with what, and what scores without a model."""

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any


def run_line(params: Mapping[str, Any]) -> str:
    """What was run, in one line."""
    backbone, compute = params["backbone"], params["compute"]
    source = backbone["source"]
    if source == "scratch":
        own = backbone["scratch"]
        model = f"{own['layers']} layers of width {own['width']}, trained from scratch on {own['tokens']:,} tokens"
    else:
        hub = backbone["hub"]
        model = f"{hub['name']} at {hub['revision'][:7]}" if source == "hub" else hidden_path(backbone["path"])
    data = hidden_path(params["data"]["path"])
    settings = f"Profile {params['profile']}, seed {params['seed']}, {compute['precision']}"
    return f"{settings}; data from {data}; backbone {model}."


def comparability(params: Mapping[str, Any]) -> str:
    """Whether the reported figures can be compared with ours."""
    if params["backbone"]["source"] == "scratch":
        return (
            "The reported figures belong to GPT-2 (124M) on the full corpora. This run uses a small model of its own: "
            "compare its rows with each other, not with the reported column."
        )
    return "Nothing was selected on dev: models and checkpoints are chosen on a part of train, and dev is scored once."


def hidden_path(path: str) -> str:
    """A path as it may be shown: an absolute one names its owner's machine, so only its last part is kept."""
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    return PureWindowsPath(path).name if absolute else path


def optimal_line(params: Mapping[str, Any]) -> str:
    """Which systems are made to score high, and which to be good verse, if any."""
    kinds = {
        "line_mbr": "chrF-optimal: put together line by line so as to score high, which does not make it the best poem",
        "verse": "best quality: every line chosen for rhyme and metre first and then for likelihood, whatever its chrF",
    }
    systems = params["sonnet"]["systems"]
    named = {
        text: [name for name, system in systems.items() if system["decoder"] == decoder]
        for decoder, text in kinds.items()
    }
    return "".join(f"\n{', '.join(names)}: {text}.\n" for text, names in named.items() if names)


def floors_line(data: Mapping[str, Any], corpora: str) -> str:
    """What answers that read nothing, or only count shared words, score on dev."""
    names = {"majority": "the majority class", "word_overlap": "word overlap"}
    floors = [
        f"{names[key]} {data[corpus]['dev'][key]:.4f}" + (f" ({corpus})" if " " in corpora else "")
        for corpus in corpora.split()
        for key in names
        if key in data.get(corpus, {}).get("dev", {})
    ]
    return f"\nFloors on dev: {', '.join(floors)}.\n" if floors else ""
