"""Gates on meaning: scorers whose score(first, second) is evidence that the first sentence implies the second."""
