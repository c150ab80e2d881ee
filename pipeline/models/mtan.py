"""MTAN: attention modules of several tasks on a shared trunk (Liu, Johns & Davison 2019, arXiv:1803.10704).

The modules branch off the trunk and never write into it. For task k and block i, with u the block's input and p its
output at the position that the head reads (figure 2 and equations 1 to 3):

    a_i = sigmoid(h(g([u_i; f(b_{i-1})])))        b_i = a_i * p_i

b of the last block goes into the task's head. The paper's convolutions are linear layers here and its batch norm is a
layer norm; f, g and h are one such layer each.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import AutoModel
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from pipeline.compute.data_parallel import spread
from pipeline.compute.reproducible import full
from pipeline.models.backbone import with_new_parts
from pipeline.models.checkpoint import load
from pipeline.models.decoder import base_of, states


def dense(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU())


class AttentionModule(nn.Module):
    """One task's soft mask over the features of one block."""

    def __init__(self, width: int, first: bool) -> None:
        super().__init__()
        self.f = None if first else dense(width, width)
        self.g = dense(width if first else 2 * width, width)
        self.h = nn.Linear(width, width)

    def forward(self, given: Tensor, output: Tensor, branch: Tensor | None) -> Tensor:
        """b_i from u_i, p_i and b_{i-1} (None in the first block), all (rows, width)."""
        if self.f is not None:
            given = torch.cat([given, self.f(branch)], dim=-1)
        return torch.sigmoid(self.h(self.g(given))) * output


class MtanClassifier(PreTrainedModel):
    """A classifier for each of `config.tasks`, with `config.classes` classes; `forward` is that of the first task.

    A mixin: `mtan_of` puts it before an architecture's own class of pre-trained models.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.tasks: list[str] = list(config.tasks)
        setattr(self, self.base_model_prefix, AutoModel.from_config(config))
        width, blocks = config.hidden_size, range(config.num_hidden_layers)
        branches = [[AttentionModule(width, not block) for block in blocks] for _ in self.tasks]
        self.branches = nn.ModuleList(map(nn.ModuleList, branches))
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.heads = nn.ModuleList(nn.Linear(width, classes, bias=False) for classes in config.classes)
        self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))
        self.losses = nn.Buffer(torch.zeros(5, len(self.tasks)))  # of dynamic weight averaging
        self.post_init()

    def forward(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits (batch, classes), in torch's default type, of the first task; arguments as in Classifier."""
        return full(self._task(0, self._read(input_ids, lengths)))

    def task_logits(self, input_ids: Tensor, lengths: Tensor, rows: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Logits of each task for its `rows` (int64) of the batch, in their order; the trunk runs once.

        Of several processes each runs the trunk for its part of the batch, and the small modules for all of it.
        """
        read = spread(self._read, input_ids, lengths)
        return {task: full(self._task(task, [layer[own] for layer in read])) for task, own in rows.items()}

    def _read(self, ids: Tensor, lengths: Tensor) -> list[Tensor]:
        """The trunk's states at the last real token, (batch, width) each, before the first block and after each."""
        *inner, last = states(base_of(self), ids, read=lengths - 1)
        rows = torch.arange(len(ids), device=ids.device)
        return [*(layer[rows, lengths - 1] for layer in inner), last.squeeze(1)]

    def _task(self, task: int, layers: Sequence[Tensor]) -> Tensor:
        branch = None
        for module, (given, output) in zip(cast(nn.ModuleList, self.branches[task]), pairwise(layers), strict=True):
            branch = module(given, output, branch)
        return cast(Tensor, self.heads[task](self.head_dropout(branch)))


def build_mtan(backbone: Path, tasks: dict[str, int], dropout: float, head_dropout: float) -> MtanClassifier:
    """The backbone's weights with fresh attention modules and heads (drawn from torch's global generator)."""
    names, classes = list(tasks), list(tasks.values())  # lists: a saved dictionary loses its order
    settings = {"tasks": names, "classes": classes, "num_labels": classes[0], "head_dropout": head_dropout}
    return with_new_parts(mtan_of, backbone, dropout, **settings)


def mtan_of(config: type[PretrainedConfig]) -> type[MtanClassifier]:
    """The attention network of an architecture, by the class of its config."""
    theirs = next(kind for kind in MODEL_MAPPING[config].__mro__ if kind.__name__.endswith("PreTrainedModel"))
    return type(MtanClassifier.__name__, (MtanClassifier, theirs), {})


def load_mtan(folder: Path) -> MtanClassifier:
    """What a training stage wrote to `folder`."""
    return load(mtan_of, folder)
