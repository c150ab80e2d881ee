"""What the training loop does besides training: progress, checkpoints to resume from, averages, the best models."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm
from transformers.modeling_utils import PreTrainedModel
from transformers.trainer_callback import TrainerCallback, TrainerState
from transformers.trainer_utils import get_last_checkpoint
from transformers.training_args import TrainingArguments

from pipeline.compute.processes import gathered, rank
from pipeline.compute.reproducible import as_written
from pipeline.files import new_folder, read_json, write_json, write_text
from pipeline.models.backbone import save_weights

COMPLETE = "complete"  # written into a checkpoint after everything else


class Progress(TrainerCallback):
    """A progress bar with rate, time left and the latest numbers, on stderr."""

    def on_train_begin(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        steps, first = state.max_steps, state.global_step
        self.bar = tqdm(total=steps, initial=first, unit="step", mininterval=1, dynamic_ncols=True)

    def on_step_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: object, state: TrainerState, control: object, logs: dict[str, float], **_: object) -> None:
        shown = {name: f"{value:.3f}" for name, value in logs.items() if "loss" in name or "accuracy" in name}
        self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        self.bar.close()


class Checkpoints(TrainerCallback):
    """Mark a checkpoint as complete once all of it is written; only then delete its predecessors."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: object, model: nn.Module, **_: object
    ) -> None:
        gathered(None)  # until every process has saved the state of its random numbers
        if rank() > 0:
            return
        newest = Path(str(args.output_dir), f"checkpoint-{state.global_step}")
        weights, names = newest / "model.safetensors", set(model.state_dict())
        if not isinstance(model, PreTrainedModel) or not names_in(weights) <= names:
            # peft saves what an adapter comes to, a prefix after its projection, and transformers gives the weights of
            # some architectures their old names; the Trainer goes on from this file and leaves out what it cannot find.
            trained = {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
            save_file(trained | {name: value for name, value in model.named_buffers() if name in names}, weights)
        write_text(newest / COMPLETE, "")
        for other in newest.parent.glob("checkpoint-*"):
            if other != newest:
                shutil.rmtree(other)


def names_in(file: Path) -> set[str]:
    """The names of the weights in a file."""
    with safe_open(file, "pt") as weights:
        return set(weights.keys())


def newest_complete(scratch: Path) -> str | None:
    """The checkpoint to resume from; half-written ones are deleted."""
    for path in list(scratch.glob("checkpoint-*")):
        if not (path / COMPLETE).exists():
            shutil.rmtree(path)
    return get_last_checkpoint(scratch) if scratch.is_dir() else None


class Ema(TrainerCallback):
    """The exponential moving average of every trained weight: average = decay * average + (1 - decay) * weight.

    It begins with the first update, as torch's AveragedModel, and is saved and loaded with the optimizer's state. Every
    model that is evaluated or kept has it, and so has the one at the end.
    """

    def __init__(self, decay: float) -> None:
        self.update = get_ema_multi_avg_fn(decay)

    def on_step_end(self, args: object, state: object, control: object, **given: Any) -> None:  # noqa: ANN401
        states = {weight: known for weight, known in given["optimizer"].state.items() if known}
        for weight, known in states.items():
            known["ema"] = known["ema"] if "ema" in known else weight.detach().clone()
        self.update([known["ema"] for known in states.values()], list(states), None)

    def on_train_end(self, args: object, state: object, control: object, **given: Any) -> None:  # noqa: ANN401
        for weight, known in given["optimizer"].state.items():
            weight.data = known.get("ema", weight.data)


class KeepBest(TrainerCallback):
    """Keep the `keep` best models by the last value of the evaluation in <folder>/<step>/; others are not written.

    After a resume, evaluations are repeated with the same result: of equal models that of the earlier step is kept.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def on_evaluate(self, args: object, state: TrainerState, control: object, **given: Any) -> None:  # noqa: ANN401
        kept, score = self.ranking(), list(given["metrics"].values())[-1]
        if len(kept) >= self.keep and score <= self._score(kept[self.keep - 1]):
            return
        with new_folder(self.folder / str(state.global_step)) as folder:
            save_weights(given["model"], folder)
            write_json(folder / "score.json", {"step": state.global_step, **given["metrics"]})
        for worse in self.ranking()[self.keep :]:
            shutil.rmtree(worse)

    def ranking(self) -> list[Path]:
        """The kept model folders, best first; of equal ones the earlier comes first."""
        folders = [path.parent for path in self.folder.glob("[0-9]*/score.json")]
        return sorted(folders, key=lambda folder: (-self._score(folder), int(folder.name)))

    def _score(self, folder: Path) -> float:
        return float(list(read_json(folder / "score.json").values())[-1])


def soup(kept: Sequence[Path], folder: Path) -> Path:
    """Write the mean of the weights of kept models, best first, to `folder`, which it returns.

    The uniform soup of Wortsman et al. 2022 (arXiv:2203.05482), of one run's models. Of adapters, it is of the factors.
    """
    with new_folder(folder) as scratch:
        shutil.copytree(kept[0], scratch, dirs_exist_ok=True)
        for file in kept[0].glob("*.safetensors"):
            models = [load_file(other / file.name) for other in kept]
            means = {name: torch.stack([own[name].double() for own in models]).mean(0).float() for name in models[0]}
            save_file(means, scratch / file.name, metadata={"format": "pt"})
        as_written(scratch)
        scores = [list(read_json(other / "score.json").items()) for other in kept]
        write_json(scratch / "score.json", {f"{own[-1][0]}, step {own[0][1]}": own[-1][1] for own in scores})
    return folder


class Curves(TrainerCallback):
    """Log every number to <the run's folder>/curves/<name>.tsv, columns step and <name>."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: object, **_: object) -> None:
        self.folder = Path(str(args.output_dir), "curves")
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
            if name not in ("epoch", "step", "total_flos"):
                name = "train_loss" if name == "loss" else name
                with (self.folder / f"{name}.tsv").open("a", encoding="utf-8") as table:
                    header = "" if table.tell() else f"step\t{name}\n"
                    table.write(f"{header}{step}\t{round(value, 6)}\n")
