"""Scores of predictions and poems: pure functions of arrays and text; no model is loaded here."""
