"""Training curves: one table a value, live while a run goes on and exact after a resume.

A checkpoint carries the Trainer's log history. Beginning from it, rather than from the files on disk, drops what a
killed run had logged after its last checkpoint: a resumed run writes the same files as an uninterrupted one.
"""

from pathlib import Path

from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

_NAMES = {"loss": "train_loss"}
_NOT_CURVES = {"epoch", "step", "total_flos"}


class Curves(TrainerCallback):
    """Log every number to <folder>/<name>.tsv, columns step and <name>."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in self.folder.glob("*.tsv"):
            file.unlink()
        for entry in state.log_history:
            self._log(int(entry["step"]), entry)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **_: object,
    ) -> None:
        if "train_runtime" not in logs:  # the Trainer's closing summary holds times, which differ between runs
            self._log(state.global_step, logs)

    def _log(self, step: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            if name not in _NOT_CURVES:
                name = _NAMES.get(name, name)
                file = self.folder / f"{name}.tsv"
                if not file.exists():
                    file.write_text(f"step\t{name}\n", encoding="utf-8")
                with file.open("a", encoding="utf-8") as table:
                    table.write(f"{step}\t{round(value, 6)}\n")
