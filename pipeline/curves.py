"""Training curves through dvclive: live while a run goes on, and exact after a resume.

A checkpoint carries the Trainer's log history. Beginning from it, rather than from the files on disk, drops what a
killed run had logged after its last checkpoint: a resumed run writes the same files as an uninterrupted one.
"""

from pathlib import Path

from dvclive import Live
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

_NAMES = {"loss": "train_loss"}
_NOT_CURVES = {"epoch", "step", "total_flos"}


class Curves(TrainerCallback):
    """Log every number to <folder>/plots/metrics/<name>.tsv, columns step and <name>."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.live = Live(str(self.folder), dvcyaml=None, save_dvc_exp=False)  # `dvc exp run` saves experiments
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

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.live.end()

    def _log(self, step: int, logs: dict[str, float]) -> None:
        self.live.step = step
        for name, value in logs.items():
            if name not in _NOT_CURVES:
                self.live.log_metric(_NAMES.get(name, name), round(value, 6))
