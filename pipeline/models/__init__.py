"""The backbone and the classifiers built on it."""
