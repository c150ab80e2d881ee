"""The trunk against transformers' own forward pass, in float64, and dropout against the binomial distribution."""

import math
import random
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from tiny import tiny_model
from torch import Tensor, nn
from torch._dynamo.utils import counters
from transformers.activations import ACT2FN
from transformers.models.gpt2.modeling_gpt2 import GPT2Model

from pipeline.models import trunk
from pipeline.models.dropout import Dropout, dropout, use_fast_dropout
from pipeline.models.trunk import states, use_compiled_blocks
from pipeline.text.batches import pad

VOCABULARY = 60
EXACT = {"rtol": 1e-10, "atol": 1e-11}


def gpt2(rate: float = 0.0, layers: int = 2) -> GPT2Model:
    """Random weights in float64, layer norms and biases too, so that none of them can be forgotten."""
    model = tiny_model(VOCABULARY, end=0, spread=0.3).transformer.double()
    generator = torch.Generator().manual_seed(layers)
    for weight in model.parameters():
        if weight.ndim == 1:
            weight.data += 0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
    return model


def ragged(rows: int = 7, longest: int = 23, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = random.Random(seed)
    lengths = [1, longest, *(rng.randrange(1, longest + 1) for _ in range(rows - 2))]
    return pad([[rng.randrange(1, VOCABULARY) for _ in range(length)] for length in lengths])


def theirs(model: GPT2Model, ids: Tensor, lengths: Tensor) -> list[Tensor]:
    """transformers' hidden states, with its own mask of the padding; the last one is after the final layer norm."""
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return list(model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states)


@pytest.fixture(params=["evaluation", "training without dropout", "training with masks that drop nothing"])
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GPT2Model:
    """The three ways through the trunk's attention that must give transformers' numbers."""
    if request.param == "evaluation":
        return gpt2(rate=0.1).eval()
    if request.param == "training without dropout":
        return gpt2().train()
    monkeypatch.setattr(trunk, "dropout", lambda values, rate: values)
    found = gpt2().train()
    for block in found.h:  # a rate above 0 takes the attention that is written out
        block.attn.attn_dropout.p = 1e-12
    return found


def test_all_states_are_those_of_transformers(model: GPT2Model) -> None:
    ids, lengths = ragged()
    ours, real = states(model, ids), torch.arange(ids.shape[1]) < lengths[:, None]
    model.eval()
    expected = theirs(model, ids, lengths)
    assert len(ours) == len(expected) == 3
    for mine, other in zip(ours, expected, strict=True):
        assert mine.shape == other.shape and other[real].std() > 0.1
        torch.testing.assert_close(mine[real], other[real], **EXACT)
    torch.testing.assert_close(ours[-1][real], model(ids).last_hidden_state[real], **EXACT)


def test_the_position_that_is_read_is_that_of_transformers(model: GPT2Model) -> None:
    ids, lengths = ragged()
    rows, training = torch.arange(len(ids)), model.training
    for read in (lengths - 1, lengths // 2, torch.zeros_like(lengths)):
        model.train(training)
        *inner, last = states(model, ids, read=read)
        model.eval()
        *expected, final = theirs(model, ids, lengths)
        assert last.shape == (len(ids), 1, 32)
        torch.testing.assert_close(last[:, 0], final[rows, read], **EXACT)
        for mine, other in zip(inner, expected, strict=True):
            torch.testing.assert_close(mine[rows, read], other[rows, read], **EXACT)


@pytest.mark.parametrize("reads", [False, True], ids=["all positions", "one position"])
def test_gradients_are_those_of_transformers(model: GPT2Model, reads: bool) -> None:
    ids, lengths = ragged()
    rows, last = torch.arange(len(ids)), lengths - 1
    generator = torch.Generator().manual_seed(4)
    targets = [torch.randn(len(ids), 32, dtype=torch.float64, generator=generator) for _ in range(3)]

    def gradients(layers: list[Tensor]) -> dict[str, Tensor]:
        read = [layer.squeeze(1) if layer.shape[1] == 1 else layer[rows, last] for layer in layers]
        loss = sum(((found - target) ** 2).mean() for found, target in zip(read, targets, strict=True))
        model.zero_grad()
        loss.backward()
        return {name: weight.grad.clone() for name, weight in model.named_parameters()}

    ours = gradients(states(model, ids, read=last if reads else None))
    model.eval()
    expected = gradients(theirs(model, ids, lengths))
    assert set(ours) == set(expected)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 1e-6, name
        torch.testing.assert_close(ours[name], gradient, rtol=1e-8, atol=1e-10, msg=lambda text, name=name: name + text)


def test_tokens_of_the_padding_change_nothing() -> None:
    model, (ids, lengths) = gpt2().eval(), ragged()
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    other = torch.where(real, ids, torch.randint(1, VOCABULARY, ids.shape))
    assert torch.equal(states(model, ids)[-1][real], states(model, other)[-1][real])
    assert torch.equal(states(model, ids, lengths - 1)[-1], states(model, other, lengths - 1)[-1])


def test_dropout_of_every_kind_is_on_in_training() -> None:
    ids, lengths = ragged()
    for kind in ("drop", "attn_dropout", "resid_dropout", "dropout"):
        model = gpt2().train()
        for name, module in model.named_modules():
            if name.split(".")[-1] == kind:
                module.p = 0.5
        outputs = [states(model, ids, lengths - 1)[-1] for _ in range(2)]
        assert not torch.equal(*outputs), kind
        assert torch.equal(*(states(model.eval(), ids, lengths - 1)[-1] for _ in range(2))), kind


def test_the_tanh_gelu_is_gpt2s_gelu() -> None:
    values = torch.linspace(-20, 20, 100_001)
    torch.testing.assert_close(ACT2FN["gelu_pytorch_tanh"](values), ACT2FN["gelu_new"](values), rtol=0, atol=1e-6)
    exact = values.double()
    torch.testing.assert_close(ACT2FN["gelu_pytorch_tanh"](exact), ACT2FN["gelu_new"](exact), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3, 0.5, 0.9])
def test_the_rate_is_the_one_asked_for_in_every_place(rate: float) -> None:
    torch.manual_seed(5)
    size = 400_000
    zeros = dropout(torch.ones(size), rate) == 0
    # Five standard deviations of a binomial, for all elements, and for each of the four that share one random number.
    for part in (zeros, *(zeros[start::4] for start in range(4))):
        bound = 5 * math.sqrt(rate * (1 - rate) / len(part)) + 2**-17
        assert abs(part.double().mean().item() - rate) < bound
    # Neighbours are independent, within a random number and across two.
    for lag in (1, 2, 3, 4, 5):
        both = (zeros[lag:] & zeros[:-lag]).double().mean().item()
        assert abs(both - rate**2) < 5 * math.sqrt(rate**2 * (1 - rate**2) / size) * 2 + 2**-15


@settings(max_examples=80, deadline=None)
@given(
    st.floats(0, 0.999),
    st.lists(st.integers(0, 7), max_size=3),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    st.integers(0, 2**32 - 1),
)
def test_elements_are_zero_or_scaled_in_any_shape(rate: float, shape: list[int], dtype: torch.dtype, seed: int) -> None:
    torch.manual_seed(seed)
    values = torch.rand(shape, dtype=torch.float64).add(1).to(dtype).requires_grad_()
    torch.manual_seed(seed)
    found = dropout(values, rate)
    assert found.shape == values.shape and found.dtype == dtype
    kept = found != 0
    scaled = values.detach().double() / (1 - rate)
    precision = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(found.detach().double(), scaled * kept, rtol=precision, atol=0)
    found.sum().backward()
    expected = kept.double() / (1 - rate)
    torch.testing.assert_close(values.grad.double(), expected, rtol=precision, atol=0)  # the gradient is the mask
    torch.manual_seed(seed)
    assert torch.equal(dropout(values, rate), found)  # the same seed gives the same mask


def test_the_expectation_is_the_value() -> None:
    torch.manual_seed(6)
    values = torch.tensor([-3.0, 0.5, 2.0], dtype=torch.float64)
    for rate in (0.1, 0.5):
        mean = torch.stack([dropout(values, rate) for _ in range(8000)]).mean(0)
        bound = 5 * values.abs() * math.sqrt(rate / (1 - rate) / 8000)
        assert ((mean - values).abs() < bound).all()


def test_every_call_has_another_mask_and_the_generators_state_brings_it_back() -> None:
    values = torch.ones(64, 33)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, second = dropout(values, 0.5), dropout(values, 0.5)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(dropout(values, 0.5), first) and torch.equal(dropout(values, 0.5), second)


def test_a_rate_of_zero_is_the_identity_and_one_near_1_drops() -> None:
    values = torch.randn(9, 5)
    assert dropout(values, 0.0) is values
    for rate in (0.9999, 0.999999):
        assert (dropout(torch.ones(4003), rate) != 0).float().mean() < 0.01


def test_the_module_drops_in_training_only() -> None:
    module, values = Dropout(0.5), torch.ones(100)
    assert (module.train()(values) == 0).any() and torch.equal(module.eval()(values), values)


def test_every_dropout_is_replaced_and_nothing_else_changes() -> None:
    model = tiny_model(VOCABULARY, end=0)
    model.transformer.h[1].eval()
    config = LoraConfig(r=2, lora_dropout=0.25, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    peft = get_peft_model(model, config)
    before = {name: module for name, module in peft.named_modules() if isinstance(module, nn.Dropout)}
    assert sum("lora_dropout" in name for name in before) == 4
    rates = {name: (module.p, module.training) for name, module in before.items()}
    names = list(peft.state_dict())
    use_fast_dropout(peft)
    after = {name: module for name, module in peft.named_modules() if isinstance(module, nn.Dropout)}
    assert {type(module) for module in after.values()} == {Dropout}
    assert {name: (module.p, module.training) for name, module in after.items()} == rates
    assert {module.p for name, module in after.items() if "lora_dropout" in name} == {0.25}
    assert list(peft.state_dict()) == names
    peft.train()
    values = torch.ones(3, 2, 32)
    adapted = peft.base_model.model.transformer.h[0].attn.c_attn
    assert not torch.equal(adapted.lora_dropout["default"](values), values)


def test_compiled_blocks_give_the_same_numbers_and_are_traced_once_for_all_shapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Traced, differentiated and run; the kernels that inductor makes of it are for a GPU (tests/test_cuda.py)."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    counters.clear()
    model = gpt2()
    found: list[list[Tensor]] = [[], []]
    for numbers in found:
        model.train()
        for rows, longest in ((7, 23), (7, 11), (5, 30), (4, 8)):
            ids, lengths = ragged(rows, longest)
            model.zero_grad()
            hidden = states(model, ids, lengths - 1)[-1]
            hidden.square().sum().backward()
            numbers += [hidden, *(weight.grad for weight in model.parameters() if weight.grad is not None)]
        model.eval()
        numbers.append(states(model, ragged()[0])[-1])
        use_compiled_blocks(model)
    assert len(found[0]) > 20
    for plain, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, plain, **EXACT)
    assert counters["stats"]["unique_graphs"] == 2, "one for all blocks and one for the last, whatever the shapes"
