"""Typed parameters: one module per block of params.yaml, so that a stage depends only on the blocks it reads."""
