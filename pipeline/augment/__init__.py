"""Augmentation of the paraphrase training pairs: back-translation and adversarial pairs, and what judges them."""
