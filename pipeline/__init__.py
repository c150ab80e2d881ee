"""Fine-tune GPT-2 for sentiment, paraphrase detection and sonnets as one reproducible DVC pipeline."""
