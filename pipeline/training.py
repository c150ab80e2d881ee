"""The one training loop: transformers' Trainer with an objective, exact resume and the best models kept.

A run lives in checkpoints/<task>/<row>/<fingerprint>/ until its stage has written its outputs. The fingerprint covers
the parameters, the input files, the code without its comments, and the library versions: a killed run goes on from its
last checkpoint when nothing has changed (with bit-equal results on the same machine) and starts anew when anything has.

Several processes train together (pipeline/data_parallel.py); the first one writes.
"""

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers.modeling_utils import PreTrainedModel
from transformers.trainer import Trainer
from transformers.trainer_callback import PrinterCallback, TrainerCallback, TrainerControl
from transformers.training_args import TrainingArguments
from transformers.utils import logging

from pipeline.callbacks import Checkpoints, KeepBest, Progress, newest_complete
from pipeline.config.training import Training
from pipeline.cuda_graphs import StepGraphs
from pipeline.curves import Curves
from pipeline.data_parallel import average_gradients
from pipeline.distributed import agreed, rank, world
from pipeline.errors import InputError
from pipeline.files import naming
from pipeline.models.dropout import use_fast_dropout
from pipeline.models.trunk import use_compiled_blocks
from pipeline.precision import SYNC, autocast, end_differences, portable, round_weights, rounded
from pipeline.sampler import ByLength
from pipeline.source import code
from pipeline.text.batch import training_batch

Objective = Callable[[Any, dict[str, Any]], tuple[Tensor, dict[str, Tensor]]]
Evaluator = Callable[[Any], dict[str, float]]

CHECKPOINTS = Path("checkpoints")
LOGS_PER_EVALUATION = 10
DECIMALS = 6  # of an evaluation's values
WORTH_COMPILING = 20_000  # steps on a GPU: compiling takes as long as it saves in so many


@dataclass(frozen=True)
class Plan:
    """How to train, in optimiser steps."""

    lr: float
    steps: int
    batch_size: int
    warmup: float  # share of all steps
    schedule: str
    weight_decay: float
    max_grad_norm: float
    checkpoint_steps: int
    evaluate_steps: int
    precision: str
    seed: int

    @classmethod
    def of(cls, settings: Training, rows: int, precision: str, seed: int) -> "Plan":
        """The plan of a fine-tuning row over `rows` training rows."""
        steps_per_epoch = math.ceil(rows / settings.batch_size)
        return cls(
            settings.lr,
            settings.epochs * steps_per_epoch,
            settings.batch_size,
            settings.warmup,
            settings.schedule,
            settings.weight_decay,
            settings.max_grad_norm,
            settings.checkpoint_steps,
            math.ceil(steps_per_epoch / settings.evaluations_per_epoch),
            precision,
            seed,
        )

    @property
    def log_steps(self) -> int:
        """Steps between two points of the training curves."""
        return max(1, self.evaluate_steps // LOGS_PER_EVALUATION)

    @property
    def save_steps(self) -> int:
        """Steps between checkpoints: a multiple of `log_steps`, so that a resumed curve averages the same steps."""
        return math.ceil(self.checkpoint_steps / self.log_steps) * self.log_steps


class Rows(Dataset):
    """Training rows as the Trainer wants them: token ids, by whose length batches are grouped, and further columns."""

    def __init__(self, ids: Sequence[list[int]], **columns: Sequence[Any]) -> None:
        names = ["input_ids", *columns]
        self.rows = [dict(zip(names, row, strict=True)) for row in zip(ids, *columns.values(), strict=True)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def scratch_folder(task: str, row: str, params: object, inputs: Sequence[Path]) -> Path:
    """The run's folder under checkpoints/; folders of the same row with another fingerprint are deleted."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode())
    digest.update(f"{version('torch')} {version('transformers')}".encode())
    modules = [module for name, module in sys.modules.items() if name.startswith("pipeline.")]
    for path in sorted(Path(module.__file__) for module in modules if module.__file__):
        digest.update(path.name.encode() + hashlib.sha256(code(path).encode()).digest())
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    folder = CHECKPOINTS / task / row / digest.hexdigest()[:16]
    for other in folder.parent.glob("*") if folder.parent.is_dir() else []:
        if other != folder and rank() == 0:
            shutil.rmtree(other)
    return folder


def train(
    model: PreTrainedModel,
    rows: Rows,
    objective: Objective,
    plan: Plan,
    scratch: Path,
    evaluate: Evaluator | None = None,
    best: str = "select_accuracy",
    keep: int = 1,
) -> list[Path]:
    """Train `model` in place, resuming from the newest complete checkpoint in `scratch`.

    Args:
        model: moved to CUDA where there is one.
        rows: the training rows; batches are grouped by length.
        objective: see pipeline/objectives.
        evaluate: called with the model in evaluation mode every `plan.evaluate_steps` and at the end.
        best: the value of `evaluate` that ranks models (higher is better, the earlier one wins a tie).
        keep: how many of the best models to keep.

    Returns:
        The folders of the kept models, best first; without `evaluate`, none: `model` is the result.
        Curves lie in `scratch`/curves (see `write_curves`).
    """
    if not len(rows):
        raise InputError("there are no training rows; see metrics/data.json for what was dropped and why")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    use_fast_dropout(model)
    round_weights(model)  # drawn by functions whose last bits differ between CPUs
    keeper = KeepBest(scratch / "kept", best, keep)
    writers = [Progress(), Curves(scratch / "curves"), keeper] if rank() == 0 else []
    loop = Loop(model, rows, objective, plan, scratch, evaluate, [*writers, Checkpoints()])
    loop.remove_callback(PrinterCallback)
    if world() > 1:
        torch.manual_seed(plan.seed + rank())  # dropout masks of its own; the models were begun alike
    with naming(scratch):
        loop.train(resume_from_checkpoint=agreed(lambda: newest_complete(scratch)))
    model.eval()
    return agreed(keeper.ranking)


def write_curves(scratch: Path, destination: Path) -> None:
    """Copy a finished run's curves to `destination`/<name>.tsv (columns step and <name>)."""
    for file in sorted((scratch / "curves").glob("*.tsv")):
        shutil.copyfile(file, destination / file.name)


class Loop(Trainer):
    """Trainer with the objective as its loss, the evaluator as its evaluation and dropout checked to be on."""

    def __init__(
        self,
        model: PreTrainedModel,
        rows: Rows,
        objective: Objective,
        plan: Plan,
        scratch: Path,
        evaluator: Evaluator | None,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.rows, self.objective, self.evaluator, self.precision = rows, objective, evaluator, plan.precision
        self.parts: dict[str, list[Tensor]] = {}
        arguments = _arguments(plan, scratch, evaluates=evaluator is not None)
        self.control: TrainerControl
        super().__init__(model, arguments, training_batch, rows, eval_dataset=rows, callbacks=callbacks)
        # Called like this it does not wrap the model for parallel training: see pipeline/data_parallel.py.
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        alone_on_gpu = self.args.device.type == "cuda" and world() == 1
        longest = model.config.n_positions
        self.graphs = StepGraphs(self.loss_and_parts, model.parameters(), longest) if alone_on_gpu else None
        if alone_on_gpu and plan.steps >= WORTH_COMPILING and not hasattr(model, "peft_config"):
            use_compiled_blocks(model)  # not with adapters: peft's DoRA cannot be traced

    def get_train_dataloader(self) -> DataLoader:
        """The batches, all of each in every process; to a GPU they are copied while it works on the one before."""
        size, device = self.args.per_device_train_batch_size, self.args.device
        sampler = ByLength([len(row["input_ids"]) for row in self.rows.rows], size, self.args.seed)
        loader = DataLoader(
            self.rows, size, sampler=sampler, collate_fn=training_batch, pin_memory=device.type == "cuda"
        )
        return prepare_data_loader(loader, device, 1, 0, put_on_device=True, non_blocking=True)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: object
    ) -> Tensor:
        loss, parts = self.loss_and_parts(inputs)
        self._keep(loss, parts)
        return loss

    def loss_and_parts(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """What the objective gives for a batch, in the precision of the plan."""
        if not self.model.training:
            raise RuntimeError("the model left training mode: dropout would be off")
        with autocast(self.precision, self.args.device):
            return self.objective(self.model, batch)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *arguments: object, **named: object) -> Tensor:
        if portable() and self.state.global_step % SYNC == 0:
            end_differences(self.optimizer)
        if self.graphs:
            loss, parts = self.graphs(self._prepare_inputs(inputs))
            self._keep(loss, parts)
            return loss
        loss = super().training_step(model, inputs, *arguments, **named)
        if world() > 1:
            average_gradients(model.parameters())
        return loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer would go through all weights for it in every step."""
        return 0

    def _keep(self, loss: Tensor, parts: dict[str, Tensor]) -> None:
        """Until the next line of the log. The Trainer's own sum of the losses is in float32."""
        for name, value in {"loss": loss, **parts}.items():
            self.parts.setdefault(name, []).append(value.detach())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= {name: torch.stack(values).mean().item() for name, values in self.parts.items()}
            self.parts = {}
            if not math.isfinite(logs["loss"]):
                raise InputError(f"the training loss became {logs['loss']} at step {self.state.global_step}: lower lr")
        super().log(logs, start_time)

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        assert self.evaluator is not None
        self.model.eval()
        with rounded(self.model):
            with torch.inference_mode():
                # Rounded, so that no choice between two models hangs on a last digit.
                metrics = {name: round(value, DECIMALS) for name, value in self.evaluator(self.model).items()}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.model.train()
        return metrics


def _arguments(plan: Plan, scratch: Path, evaluates: bool) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(scratch),
        learning_rate=plan.lr,
        max_steps=plan.steps,
        per_device_train_batch_size=plan.batch_size,
        warmup_steps=math.ceil(plan.warmup * plan.steps),
        lr_scheduler_type="linear" if plan.schedule == "linear" else "constant_with_warmup",
        weight_decay=plan.weight_decay,
        max_grad_norm=plan.max_grad_norm,
        optim="adamw_torch_fused",
        use_cpu=not torch.cuda.is_available(),
        seed=plan.seed,
        save_strategy="steps",
        save_steps=plan.save_steps,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=plan.evaluate_steps if evaluates else None,
        logging_steps=plan.log_steps,
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
        logging_nan_inf_filter=False,  # it asks a GPU for the loss in every step; `Loop.log` finds what is not finite
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # with more the Trainer would wrap the model in DataParallel
    return arguments
