"""Contrastive decoding, Li et al. 2023 (https://aclanthology.org/2023.acl-long.687): what an expert knows better.

The next token maximises log p_expert(v) - log p_amateur(v) among the tokens that the expert finds plausible,
p_expert(v) >= alpha * max p_expert. Here the expert is a fine-tuned model and the amateur the backbone it comes from.
The paper searches with beams; this is its greedy case. All prompts run in one batch, each model over its own cache.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.cache import begin, output_head, positions
from pipeline.decoding.constraints import ban_repeated
from pipeline.decoding.sampling import Constrain
from pipeline.models.adapters import text_length


@torch.inference_mode()
def contrastive_decoding(
    expert: GPT2LMHeadModel,
    amateur: GPT2LMHeadModel,
    prompts: Sequence[list[int]],
    alpha: float,
    no_repeat_ngram: int,
    newlines: Tensor,
    max_lines: int,
    constrain: Constrain | None = None,
    max_new_tokens: int | None = None,
) -> list[list[int]]:
    """Continue each prompt until the end-of-text token, the line limit or the end of the expert's context.

    Args:
        expert, amateur: in evaluation mode, with one vocabulary.
        prompts: token ids; none empty.
        alpha: plausibility of a token relative to the expert's likeliest one, in (0, 1].
        no_repeat_ngram: no n-gram of so many tokens occurs twice, prompt included; 0 allows all.
        newlines: (vocabulary,) int64, the line breaks in each token.
        max_lines: a text ends with this many line breaks, those of its prompt included.
        constrain: see pipeline/decoding/constraints.py; what it bans is not plausible.
        max_new_tokens: stop earlier than the context does.

    Returns:
        The new tokens of each prompt, without the end-of-text token.
    """
    written: list[list[int]] = [[] for _ in prompts]
    if not prompts:
        return written
    device, end, context = expert.device, expert.config.eos_token_id, min(map(text_length, (expert, amateur)))
    newlines = newlines.to(device)
    texts = [list(prompt) for prompt in prompts]
    own, other = _Reader(expert, prompts), _Reader(amateur, prompts)
    rows = torch.arange(len(prompts), device=device)
    open_lines = torch.tensor([max_lines - int(newlines[prompt].sum()) for prompt in prompts], device=device)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    going = ((open_lines > 0) & (lengths < context)).nonzero()[:, 0]
    own.keep(going)
    other.keep(going)
    for _ in range(max_new_tokens or context):
        if not len(going):
            break
        rows, open_lines, lengths = rows[going], open_lines[going], lengths[going]
        so_far = [texts[row] for row in rows.tolist()]
        logits = own.logits()
        scores = contrast(constrain(logits, so_far) if constrain else logits, other.logits(), alpha)
        if no_repeat_ngram:
            scores = ban_repeated(scores, so_far, no_repeat_ngram)
        chosen = scores.argmax(1)
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            if token != end:
                texts[row].append(token)
                written[row].append(token)
        open_lines, lengths = open_lines - newlines[chosen], lengths + 1
        going = ((chosen != end) & (open_lines > 0) & (lengths < context)).nonzero()[:, 0]
        for reader in (own, other):
            reader.write(chosen)
            reader.keep(going)
    return written


def contrast(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    """Scores (rows, vocabulary) from two models' logits of that shape; minus infinity for what is not plausible."""
    own = expert.log_softmax(-1)
    plausible = own >= own.amax(-1, keepdim=True) + math.log(alpha)
    return (own - amateur.log_softmax(-1)).masked_fill(~plausible, float("-inf"))


class _Reader:
    """A model over its own cache."""

    def __init__(self, model: GPT2LMHeadModel, prompts: Sequence[list[int]]) -> None:
        self.model, self.head = model, output_head(model)
        self.ids, self.mask, self.cache = begin(model, prompts)

    def logits(self) -> Tensor:
        """(rows, vocabulary) after all that was written."""
        hidden = self.model.transformer(
            self.ids,
            attention_mask=self.mask,
            position_ids=positions(self.mask, self.ids.shape[1]),
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        return self.head(hidden[:, -1])

    def write(self, tokens: Tensor) -> None:
        """Go on with one token (rows,) each."""
        self.ids, self.mask = tokens[:, None], torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], 1)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.ids, self.mask = self.ids[rows], self.mask[rows]
        if self.cache.get_seq_length():
            self.cache.batch_select_indices(rows)
