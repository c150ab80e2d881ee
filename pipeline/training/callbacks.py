"""What the training loop does besides training: progress, checkpoints to resume from, and the best models kept."""

import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm
from transformers.modeling_utils import PreTrainedModel
from transformers.trainer_callback import TrainerCallback, TrainerState

from pipeline.compute.processes import gathered, rank
from pipeline.files import new_folder, read_json, write_json, write_text
from pipeline.models.weights import save_weights

COMPLETE = "complete"  # written into a checkpoint after everything else


class Progress(TrainerCallback):
    """A progress bar with rate, time left and the latest numbers, on stderr."""

    def on_train_begin(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, unit="step", mininterval=1, dynamic_ncols=True
        )

    def on_step_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: object, state: TrainerState, control: object, logs: dict[str, float], **_: object) -> None:
        shown = {name: f"{value:.3f}" for name, value in logs.items() if "loss" in name or "accuracy" in name}
        self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        self.bar.close()


class Checkpoints(TrainerCallback):
    """Mark a checkpoint as complete once all of it is written; only then delete its predecessors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_save(self, args: object, state: TrainerState, control: object, model: nn.Module, **_: object) -> None:
        gathered(None)  # until every process has saved the state of its random numbers
        if rank() > 0:
            return
        newest = self.folder / f"checkpoint-{state.global_step}"
        if not isinstance(model, PreTrainedModel):
            # peft saves what an adapter comes to, a prefix after its projection; the Trainer goes on from this file.
            trained = {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
            save_file(trained, newest / "model.safetensors")
        write_text(newest / COMPLETE, "")
        for other in self.folder.glob("checkpoint-*"):
            if other != newest:
                shutil.rmtree(other)


class KeepBest(TrainerCallback):
    """Keep the `keep` best models by one value of the evaluation, in <folder>/<step>/, and delete the rest at once.

    After a resume, evaluations are repeated with the same result, so that a folder of the same step is just rewritten.
    """

    def __init__(self, folder: Path, best: str, keep: int) -> None:
        self.folder, self.best, self.keep = folder, best, keep

    def on_evaluate(
        self,
        args: object,
        state: TrainerState,
        control: object,
        metrics: dict[str, float],
        model: PreTrainedModel,
        **_: object,
    ) -> None:
        with new_folder(self.folder / str(state.global_step)) as folder:
            save_weights(model, folder)
            write_json(folder / "score.json", {"step": state.global_step, **metrics})
        for worse in self.ranking()[self.keep :]:
            shutil.rmtree(worse)

    def ranking(self) -> list[Path]:
        """The kept model folders, best first."""
        scores = {path.parent: read_json(path) for path in self.folder.glob("[0-9]*/score.json")}
        return sorted(scores, key=lambda path: (-scores[path][self.best], scores[path]["step"]))


def newest_complete(scratch: Path) -> str | None:
    """The checkpoint to resume from; half-written ones are deleted."""
    found = {int(path.name.split("-")[1]): path for path in scratch.glob("checkpoint-*")}
    for step in [step for step, path in found.items() if not (path / COMPLETE).exists()]:
        shutil.rmtree(found.pop(step))
    return str(found[max(found)]) if found else None


_NAMES = {"loss": "train_loss"}
_NOT_CURVES = {"epoch", "step", "total_flos"}


class Curves(TrainerCallback):
    """Log every number to <folder>/<name>.tsv, columns step and <name>."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_begin(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in self.folder.glob("*.tsv"):
            file.unlink()
        for entry in state.log_history:
            self._log(int(entry["step"]), entry)

    def on_log(self, args: object, state: TrainerState, control: object, logs: dict[str, float], **_: object) -> None:
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
