"""Contrastive decoding, Li et al. 2023 (https://aclanthology.org/2023.acl-long.687): what an expert knows better.

The next token maximises log p_expert(v) - log p_amateur(v) among the tokens that the expert finds plausible,
p_expert(v) >= alpha * max p_expert. Here the expert is a fine-tuned model, the amateur the backbone or another row.
The paper searches with beams; this is its greedy case. All prompts run in one batch, each model over its own cache.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from pipeline.config.sonnet import System
from pipeline.decoding.constraints import ban_repeated
from pipeline.decoding.running import Limits, Running, decode
from pipeline.decoding.writer import Writer, Written
from pipeline.text.prepared import Poem


class Options(System):
    model: str = Field(pattern=r"^sonnet/")  # the expert
    decoder: Literal["contrastive_decoding"]
    amateur: str = "backbone"  # another folder of models/ only in sonnet.ensembles
    alpha: float = Field(gt=0, le=1)  # plausibility of a token relative to the expert's likeliest one
    no_repeat_ngram: int = Field(ge=0)  # no n-gram of so many tokens occurs twice, prompt included; 0 allows all


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    assert writer.amateur
    models = (writer.model, writer.amateur())
    search = partial(contrastive_decoding, models, options=options, limits=writer.limits(options))
    return Written(writer.search(poems, lambda prompts: [[text] for text in search(prompts)]))


def contrastive_decoding(
    models: tuple[PreTrainedModel, PreTrainedModel], prompts: Sequence[list[int]], options: Options, limits: Limits
) -> list[list[int]]:
    """The new tokens of each prompt, by an expert and its amateur. A banned token is not plausible."""

    def choose(texts: Running, expert: Tensor, amateur: Tensor) -> Tensor:
        scores = contrast(limits.allowed(expert, texts.so_far()), amateur, options.alpha)
        return ban_repeated(scores, texts.so_far(), options.no_repeat_ngram).argmax(1)

    return decode(models, prompts, limits, choose)


def contrast(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    """Scores (rows, vocabulary) from two models' logits of that shape; minus infinity for what is not plausible."""
    own = expert.log_softmax(-1)
    plausible = own >= own.amax(-1, keepdim=True) + math.log(alpha)
    return (own - amateur.log_softmax(-1)).masked_fill(~plausible, float("-inf"))
