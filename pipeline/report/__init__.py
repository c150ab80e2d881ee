"""The tables, figures and page that show what the other stages found; nothing is computed from models here."""
