"""Settings of the whole suite, made before anything imports torch."""

import os

# Two workers side by side, each with one thread: threads that wait for each other on busy cores are slower.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
