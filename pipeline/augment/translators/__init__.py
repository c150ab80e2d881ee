"""One module per way to translate; see `pipeline.augment.translate.Translator` for what they have in common."""
