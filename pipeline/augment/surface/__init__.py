"""Gates on the surface: scorers of how alike two sentences look, the first being the reference of the second."""
