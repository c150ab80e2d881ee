"""A causal language model with a pooled linear head, for sentiment and paraphrase detection.

It is transformers' own class for sequence classification of the backbone's architecture: with `pooling = "last"` that
class, or `AutoModelForSequenceClassification`, loads such a folder and gives the same logits.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from pipeline.compute.reproducible import full
from pipeline.models.backbone import output_rows, with_new_parts
from pipeline.models.checkpoint import load
from pipeline.models.decoder import base_of, states

Pooling = Literal["last", "mean"]


class Classifier(PreTrainedModel):
    """Logits from the last real token, or from the mean over the real tokens, of right-padded input.

    A mixin: `classifier_of` puts it before a class of transformers. Its config has `pooling`, `head_dropout`,
    `freeze_backbone` and `exact_match`: null, or the template of the pairs whose `shared_tokens` are marked.
    """

    prefixed: Callable[[Tensor], Tensor] | None = None  # states after a prefix, where models/adapters.py has added one

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)  # transformers' own, with `score`
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.template = config.exact_match
        if self.template:
            self.exact_match = nn.Parameter(torch.zeros(config.hidden_size))

    def forward(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits (batch, num_labels), in torch's default type.

        `input_ids` (batch, tokens) int64: padded on the right with any token; `lengths` (batch,) int64: at least 1.
        """
        return full(self.score(self.head_dropout(self.pooled(input_ids, lengths))))

    def pooled(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """The (batch, width) states that the head reads: of the last real token, or the mean over the real tokens."""
        marked = shared_tokens(input_ids, lengths, self.template) if self.template else None
        added = None if marked is None else marked[..., None] * self.exact_match
        if self.config.pooling == "last" and self.prefixed:
            return self.prefixed(input_ids)[torch.arange(len(lengths), device=lengths.device), lengths - 1]
        if self.config.pooling == "last":
            return states(base_of(self), input_ids, lengths - 1, added)[-1].squeeze(1)
        hidden = self.prefixed(input_ids) if self.prefixed else states(base_of(self), input_ids, added=added)[-1]
        real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
        return (hidden * real[..., None]).sum(1) / lengths[:, None]

    def train(self, mode: bool = True) -> "Classifier":
        """A frozen backbone is a fixed feature extractor: it stays in evaluation mode while the head trains."""
        super().train(mode)
        if self.config.freeze_backbone:  # not in __init__: `from_pretrained` makes every parameter trainable again
            base_of(self).requires_grad_(False).eval()
        return self


def classifier_of(config: type[PretrainedConfig]) -> type[Classifier]:
    """The classifier of an architecture, by the class of its config."""
    theirs = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[config]
    return type(theirs.__name__, (Classifier, theirs), {})


def load_classifier(folder: Path) -> Classifier:
    """The classifier that a training stage wrote to `folder`; see `pipeline.models.checkpoint.load`."""
    return load(classifier_of, folder)


def shared_tokens(ids: Tensor, lengths: Tensor, template: Sequence[Sequence[int]]) -> Tensor:
    """Whether a token of one sentence of a pair stands in the other too, (batch, tokens) bool; no pair has none.

    The feature f_exact_match of DrQA (Chen et al. 2017, arXiv:1704.00051, section 3.2), of tokens instead of words and
    lemmas. Under causal attention the first sentence never sees the second, and a small model learns to compare them
    late, if at all; here it is told. The classifier adds a learnt vector, zero at first, to these tokens' embeddings.

    `template` are the prompt's own tokens before, between and after the sentences, none of the three empty.
    """
    before, between, after = template
    place = torch.arange(tokens := ids.shape[1], device=ids.device)
    beyond, found = pad(ids, (0, len(between)), value=-1), torch.ones_like(ids, dtype=torch.bool)
    for offset, token in enumerate(between):
        found &= beyond[:, offset : offset + tokens] == token
    middle = torch.where(found.any(1), found.int().argmax(1), tokens)[:, None]
    first = (place >= len(before)) & (place < middle)
    second = (place >= middle + len(between)) & (place < lengths[:, None] - len(after))
    across = (ids[:, :, None] == ids[:, None, :]) & first[:, :, None] & second[:, None, :]
    return across.any(2) | across.any(1)


def build_classifier(
    backbone: Path,
    num_labels: int,
    pooling: Pooling,
    dropout: float,
    head_dropout: float,
    freeze: bool = False,
    answers: Sequence[int] | None = None,
    template: Sequence[list[int]] | None = None,
) -> Classifier:
    """A classifier with the backbone's weights.

    With `answers`, a token id a class, the head begins as the language model's rows of these tokens, so that its logits
    are those of the tokens as the next word. With a `template` of pairs, shared tokens are marked; at first the mark
    changes nothing.
    """
    settings: dict[str, object] = {"num_labels": num_labels, "pooling": pooling, "head_dropout": head_dropout}
    settings |= {"freeze_backbone": freeze, "exact_match": template}
    model = with_new_parts(classifier_of, backbone, dropout, **settings)
    if answers is not None:
        model.score.weight.data.copy_(output_rows(backbone, answers))
    return model
