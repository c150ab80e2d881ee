"""The one training loop: transformers' Trainer with an objective, exact resume and the best models kept.

Several processes train together (pipeline/compute/data_parallel.py); the first one writes.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers.modeling_utils import PreTrainedModel
from transformers.trainer import Trainer
from transformers.trainer_callback import PrinterCallback, TrainerCallback, TrainerControl
from transformers.training_args import TrainingArguments
from transformers.utils import logging

from pipeline.compute.cuda_graphs import StepGraphs
from pipeline.compute.data_parallel import average_gradients
from pipeline.compute.processes import agreed, rank, world
from pipeline.compute.reproducible import SYNC, autocast, end_differences, portable, round_weights, rounded
from pipeline.config.data import Scratch
from pipeline.config.tasks import Paraphrase
from pipeline.config.training import Training
from pipeline.errors import InputError
from pipeline.files import naming
from pipeline.models.adapters import prefix_length, text_length
from pipeline.models.decoder import base_of, context
from pipeline.models.dropout import use_fast_dropout
from pipeline.models.trunk import use_compiled_blocks
from pipeline.text.batches import training_batch
from pipeline.training.callbacks import Checkpoints, Curves, Ema, KeepBest, Progress, newest_complete, soup
from pipeline.training.pruning import pruning
from pipeline.training.samplers import ByLength, Quotas

Objective = Callable[[Any, dict[str, Any]], tuple[Tensor, dict[str, Tensor]]]
Evaluator = Callable[[Any], dict[str, float]]  # values of a model by name; the last one ranks it, higher is better

LOGS_PER_EVALUATION = 10
WORTH_COMPILING = 20_000  # steps on a GPU: compiling takes as long as it saves in so many


class Rows(list[dict[str, Any]]):
    """Training rows as the Trainer wants them: token ids, by whose length batches are grouped, and further columns.

    quotas: rows of each task in a batch, where there is a column `tasks`; set by whoever makes such rows.
    """

    quotas: Sequence[int] = ()

    def __init__(self, ids: Sequence[list[int]], **columns: Sequence[Any]) -> None:
        names = ["input_ids", *columns]
        super().__init__(dict(zip(names, row, strict=True)) for row in zip(ids, *columns.values(), strict=True))


def train(
    model: PreTrainedModel,
    rows: Rows,
    objective: Objective,
    settings: Training | Scratch,
    scratch: Path,
    seed: int,
    precision: str,
    evaluate: Evaluator | None = None,
    keep: int = 1,
) -> list[Path]:
    """Train `model` in place, resuming from the newest complete checkpoint in `scratch`.

    Args:
        model: moved to CUDA where there is one.
        scratch: checkpoints, curves and the best models; deleted by whoever publishes the result.
        seed: of batches and, with several processes, of dropout masks.
        evaluate: called with the model in evaluation mode every `settings.evaluate_steps` and at the end.

    Returns:
        The folders of the `keep` best models, best first; in place of the first the average of `settings.soup` of them.
        Without `evaluate`, none: `model` is the result. The curves lie in `scratch`/curves.
    """
    if not len(rows):
        raise InputError("there are no training rows; see metrics/data.json for what was dropped and why")
    check_room(model, settings)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    use_fast_dropout(model)
    round_weights(model)  # drawn by functions whose last bits differ between CPUs
    keeper = KeepBest(scratch / "kept", max(keep, settings.soup))
    callbacks = [Progress(), Curves(), keeper] if rank() == 0 else []
    callbacks += [*([Ema(settings.ema)] if settings.ema else []), *pruning(scratch), Checkpoints()]
    arguments = trainer_arguments(settings, len(rows), scratch, seed, evaluates=evaluate is not None)
    loop = Loop(model, rows, objective, settings, arguments, precision, evaluate, callbacks)
    loop.remove_callback(PrinterCallback)
    if world() > 1:
        torch.manual_seed(seed + rank())  # dropout masks of its own; the models were begun alike
    with naming(scratch):
        loop.train(resume_from_checkpoint=agreed(lambda: newest_complete(scratch)))
    model.eval()
    kept = agreed(keeper.ranking)
    if len(best := kept[: settings.soup]) > 1:
        kept[0] = agreed(partial(soup, best, scratch / "soup"))
    return kept[:keep]


def check_room(model: PreTrainedModel, settings: Training | Scratch) -> None:
    """Refuse texts that do not fit into the model's context after its prefix."""
    if prefix_length(model) and getattr(settings, "max_length", 0) > (room := text_length(model)):
        raise InputError(f"params.yaml: max_length: after the prefix there is room for {room} tokens; lower either")


class Loop(Trainer):
    """Trainer with the objective as its loss, the evaluator as its evaluation and dropout checked to be on.

    The report's dropout was off in parts of the model whose `training` flag said otherwise: every module is looked at.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rows: Rows,
        objective: Objective,
        settings: Training | Scratch,
        arguments: TrainingArguments,
        precision: str,
        evaluator: Evaluator | None,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.objective, self.settings, self.evaluator, self.precision = objective, settings, evaluator, precision
        self.parts: dict[str, list[Tensor]] = {}
        self.control: TrainerControl
        super().__init__(model, arguments, training_batch, rows, eval_dataset=rows, callbacks=callbacks)
        # Called like this it does not wrap the model for parallel training: see pipeline/compute/data_parallel.py.
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        self.graphs: StepGraphs | None = None
        if self.args.device.type == "cuda" and world() == 1:
            self.graphs = StepGraphs(self.loss_and_parts, model.parameters(), context(model))
            if arguments.max_steps >= WORTH_COMPILING and not hasattr(model, "peft_config"):
                use_compiled_blocks(model)  # not with adapters: peft's DoRA cannot be traced

    def get_train_dataloader(self) -> DataLoader:
        """The batches, all of each in every process; to a GPU they are copied while it works on the one before."""
        size, device = self.args.per_device_train_batch_size, self.args.device
        rows, pin = self.train_dataset, device.type == "cuda"
        lengths, seed = [len(row["input_ids"]) for row in rows], self.args.seed
        sampler = ByLength(lengths, size, seed)
        if rows.quotas:
            sampler = Quotas(lengths, [row["tasks"] for row in rows], rows.quotas, seed)
        loader = DataLoader(rows, size, sampler=sampler, collate_fn=training_batch, pin_memory=pin)
        return prepare_data_loader(loader, device, 1, 0, put_on_device=True, non_blocking=True)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *_: object, **__: object) -> Tensor:
        return self._kept(*self.loss_and_parts(inputs))

    def loss_and_parts(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """What the objective gives for a batch, in the precision of the plan."""
        if self.settings.dropout and (silent := without_dropout(self.model)):
            raise RuntimeError(f"{silent} is in evaluation mode: its dropout would be off")
        with autocast(self.precision, self.args.device):
            return self.objective(self.model, batch)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The Trainer's, with a learning rate of its own for what the backbone did not bring."""
        if not isinstance(self.settings, Paraphrase) or self.settings.fresh_lr is None:
            return super().create_optimizer()
        brought = set(base_of(self.model).parameters())
        decayed = set(self.get_decay_parameter_names(self.model))
        groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
        for name, weight in self.model.named_parameters():
            if weight.requires_grad:
                rate = self.settings.lr if weight in brought else self.settings.fresh_lr
                groups[rate, self.settings.weight_decay if name in decayed else 0.0].append(weight)
        kind, options = self.get_optimizer_cls_and_kwargs(self.args)
        parts = [{"params": own, "lr": rate, "weight_decay": decay} for (rate, decay), own in groups.items()]
        self.optimizer = kind(parts, **options)
        return self.optimizer

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *arguments: object, **named: object) -> Tensor:
        if portable() and self.state.global_step % SYNC == 0:
            end_differences(self.optimizer)
        if self.graphs:
            return self._kept(*self.graphs(self._prepare_inputs(inputs)))
        loss = super().training_step(model, inputs, *arguments, **named)
        if world() > 1:
            average_gradients(model.parameters())
        return loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer would go through all weights for it in every step."""
        return 0

    def _kept(self, loss: Tensor, parts: dict[str, Tensor]) -> Tensor:
        """`loss`, kept until the next line of the log. The Trainer's own sum of the losses is in float32."""
        for name, value in {"loss": loss, **parts}.items():
            self.parts.setdefault(name, []).append(value.detach())
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= {name: torch.stack(values).mean().item() for name, values in self.parts.items()}
            self.parts = {}
            if not math.isfinite(logs["loss"]):
                raise InputError(f"the training loss became {logs['loss']} at step {self.state.global_step}: lower lr")
            if self.settings.dropout and logs.get("kl") == 0:
                raise RuntimeError("two dropout masks give the same logits (kl is 0): dropout is off")
        super().log(logs, start_time)

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        assert self.evaluator is not None
        self.model.eval()
        states = self.optimizer.state.items()
        with rounded(self.model, {weight: known["ema"] for weight, known in states if "ema" in known}):
            with torch.inference_mode():
                # Rounded, so that no choice between two models hangs on a last digit.
                metrics = {name: round(value, 6) for name, value in self.evaluator(self.model).items()}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.model.train()
        return metrics


def without_dropout(model: nn.Module) -> str | None:
    """A module of a model in training that is in evaluation mode, unless the backbone is meant to be; None if none."""
    frozen = getattr(model.config, "freeze_backbone", False)
    meant = set(base_of(model).modules()) if frozen else set()
    return next(
        (name or "model" for name, part in model.named_modules() if not part.training and part not in meant), None
    )


def trainer_arguments(
    settings: Training | Scratch, rows: int, scratch: Path, seed: int, evaluates: bool
) -> TrainingArguments:
    """transformers' arguments for `settings` over `rows` training rows."""
    steps, evaluate_steps = settings.steps(rows), settings.evaluate_steps(rows)
    log_steps = max(1, evaluate_steps // LOGS_PER_EVALUATION)
    arguments = TrainingArguments(
        output_dir=str(scratch),
        learning_rate=settings.lr,
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        warmup_steps=math.ceil(settings.warmup * steps),
        lr_scheduler_type="linear" if settings.schedule == "linear" else "constant_with_warmup",
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        save_strategy="steps",
        # A multiple of log_steps, so that a resumed curve averages the same steps.
        save_steps=math.ceil(settings.checkpoint_steps / log_steps) * log_steps,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=evaluate_steps if evaluates else None,
        logging_steps=log_steps,
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
        logging_nan_inf_filter=False,  # it asks a GPU for the loss in every step; `Loop.log` finds what is not finite
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # with more the Trainer would wrap the model in DataParallel
    return arguments
