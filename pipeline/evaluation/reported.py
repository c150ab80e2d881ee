"""Figures that others reported for the rows of the tables, printed beside ours.

Paraphrase and sonnet figures are those of the student report (GPT-2 fine-tuning, 2025-06), on the course's dev sets.
Sentiment figures are the ones the course handout expects; the report gives none.
"""

from collections.abc import Mapping

# Accuracy and macro F1 on QQP dev. etpc_transfer was in truth scored on ETPC; mtan's .8505 is that of the positive
# class, no macro F1, and left out.
PARAPHRASE = {
    "baseline": {"accuracy": 0.9081, "macro_f1": 0.9019},
    "last_pooling": {"accuracy": 0.8919, "macro_f1": 0.8849},
    "mean_pooling": {"accuracy": 0.8872, "macro_f1": 0.88},
    "back_translation_control": {"accuracy": 0.8854, "macro_f1": 0.8781},
    "back_translation": {"accuracy": 0.8784, "macro_f1": 0.871},
    "simcse": {"accuracy": 0.8946, "macro_f1": 0.8879},
    "simcse_joint": {"accuracy": 0.8682, "macro_f1": 0.8594},
    "apt": {"accuracy": 0.8909, "macro_f1": 0.8836},
    "mtan": {"accuracy": 0.8891},
    "etpc_transfer": {"accuracy": 0.7709, "macro_f1": 0.7484},
    "lora_r16": {"accuracy": 0.8707, "macro_f1": 0.8623},
    "lora_r8": {"accuracy": 0.8599, "macro_f1": 0.8498},
    "dora_r16": {"accuracy": 0.8702, "macro_f1": 0.8616},
    "dora_r8": {"accuracy": 0.8601, "macro_f1": 0.8501},
}
# Accuracy on dev in the course handout (last linear layer only, full model).
SENTIMENT = {"sst_head": 0.462, "cfimdb_head": 0.861, "sst_full": 0.513, "cfimdb_full": 0.976}
# chrF on the 12 dev sonnets, one draw; top_p_tuned is full fine-tuning, batch 8, lr 1e-5.
SONNET = {
    "top_p_untuned": 39.7379,
    "contrastive": 35.6912,
    "contrastive_dynamic": 36.3526,
    "contrastive_mean": 35.6912,
    "contrastive_penalty": 24.8650,
    "contrastive_dynamic_mean": 37.7542,
    "beam": 33.4421,
    "beam_mbr": 37.7483,
    "top_p_tuned": 43.2194,
}


def against_reported(row: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """The reported figures of a paraphrase row and how far ours are above them; empty where nothing was reported."""
    figures = PARAPHRASE.get(row, {})
    reported = {f"reported_{key}": value for key, value in figures.items()}
    return reported | {f"delta_{key}": metrics[key] - value for key, value in figures.items()}
