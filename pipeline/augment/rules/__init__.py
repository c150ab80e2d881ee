"""Rules that name a difference in meaning between two sentences; see violated.py."""
