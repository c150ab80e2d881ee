"""How a stage computes: its processes, its arithmetic and, on a GPU, its graphs."""
