"""The loss over a vocabulary, some rows at a time, against torch's over all of it at once."""

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from pipeline.models import output as module
from pipeline.models.output import linear_cross_entropy, negative_log_likelihoods


def inputs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(19, 8, generator=generator, dtype=dtype)
    weight = torch.randn(50, 8, generator=generator, dtype=dtype)
    return hidden, weight, torch.randint(50, (19,), generator=generator)


@pytest.mark.parametrize("rows", [1, 4, 19, 256])
@pytest.mark.parametrize("frozen", ["", "hidden", "weight"])
def test_loss_and_gradients_are_those_of_all_logits_at_once(
    rows: int, frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_CPU", rows)
    found = []
    for function in (linear_cross_entropy, lambda h, w, t: cross_entropy(linear(h, w), t, reduction="sum")):
        hidden, weight, targets = inputs(torch.float64)
        hidden.requires_grad_(frozen != "hidden")
        weight.requires_grad_(frozen != "weight")
        loss = function(hidden, weight, targets)
        (3 * loss).backward()  # a gradient from above that is not 1
        found.append((loss.detach(), hidden.grad, weight.grad))
    (loss, *gradients), (expected, *wanted) = found
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    for gradient, reference in zip(gradients, wanted, strict=True):
        assert (gradient is None) == (reference is None)
        if reference is not None:
            torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-14)


def test_large_logits_stay_finite() -> None:
    hidden, weight, targets = inputs(torch.float32)
    loss = linear_cross_entropy((1e4 * hidden).requires_grad_(), weight, targets)
    torch.testing.assert_close(loss.detach(), cross_entropy(linear(1e4 * hidden, weight), targets, reduction="sum"))


def test_under_autocast_products_are_bf16_and_sums_are_not() -> None:
    hidden, weight, targets = inputs(torch.float32)
    weight.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, targets)
    loss.backward()
    assert loss.dtype == torch.float32 and weight.grad is not None and weight.grad.dtype == torch.float32
    rounded = linear(hidden.bfloat16(), weight.detach().bfloat16()).float()
    torch.testing.assert_close(loss.detach(), cross_entropy(rounded, targets, reduction="sum"))


def test_without_gradients_there_are_none() -> None:
    with torch.no_grad():
        assert not linear_cross_entropy(*inputs(torch.float32)).requires_grad


@pytest.mark.parametrize("rows", [1, 4, 19, 256])
def test_each_likelihood_is_that_of_all_logits_at_once(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_CPU", rows)
    hidden, weight, targets = inputs(torch.float64)
    expected = cross_entropy(linear(hidden, weight), targets, reduction="none")
    torch.testing.assert_close(negative_log_likelihoods(hidden, weight, targets), expected, rtol=1e-12, atol=0)
    assert negative_log_likelihoods(hidden[:0], weight, targets[:0]).shape == (0,)
