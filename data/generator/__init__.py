"""Embedded sample data: small synthetic data sets in the course layout, written by `python -m data.generator`."""
