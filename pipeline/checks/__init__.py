"""Gates for CI, which compare what is committed with what it would be: `python -m pipeline.checks`."""
