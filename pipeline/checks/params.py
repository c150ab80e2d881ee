"""Is params.yaml valid, all of it? `dvc exp run -S` accepts any key and any type."""

import argparse

from pipeline.config.params import check_methods, load_params


def run(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """No findings: the first problem in `options.file` is raised as an InputError."""
    check_methods(load_params(options.file), options.file)
    return [], []
