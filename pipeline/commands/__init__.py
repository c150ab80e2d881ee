"""The sub-commands of `python -m pipeline`: each file has `add_arguments(parser)` and `run(options)`."""
