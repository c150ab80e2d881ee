"""How far two predictions of the same rows are apart."""

from torch import Tensor, nn


def symmetric_kl(first: Tensor, second: Tensor) -> Tensor:
    """Mean over the batch of (KL(p || q) + KL(q || p)) / 2 in nats, from logits (batch, classes) of p and q.

    R-Drop (Liang et al. 2021), equation 2.
    """
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    return (
        nn.functional.kl_div(q, p, reduction="batchmean", log_target=True)
        + nn.functional.kl_div(p, q, reduction="batchmean", log_target=True)
    ) / 2
