"""The sub-commands of `python -m pipeline`, one file each; what is heavy to import is imported when a command runs."""
