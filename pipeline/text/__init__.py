"""Raw corpora to clean, split, prompt-ready text."""
