"""Adapters: every decoder with a learnt prefix against peft's own forward pass without cache; training and loading."""

from functools import partial
from pathlib import Path

import pytest
import test_beam_search
import test_contrastive_decoding
import test_contrastive_search
import test_decoding
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from tiny import NEWLINES, QUIET, options, prefix, tiny_model, write_backbone
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.training import Lora, Prefix
from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.contrastive_decoding import contrastive_decoding
from pipeline.decoding.contrastive_search import contrastive_search
from pipeline.decoding.running import Limits, sample
from pipeline.decoding.top_p import top_p
from pipeline.models.adapters import add_adapter, load_language_model, prefix_length, text_length
from pipeline.objectives import language_model

TOKENS = 6
LORA = Lora(kind="lora", r=3, alpha=6, dropout=0.0, targets=["attention", "output"], dora=False)
ADAPTERS = [
    prefix(TOKENS, projection=True),
    prefix(TOKENS),
    LORA,
    LORA.model_copy(update={"dora": True}),
]
NAMES = ["prefix", "prefix_flat", "lora", "dora"]


def prefixed(positions: int, spread: float, seed: int) -> PeftModel:
    """A model whose prefix changes what it says, with room for `positions` tokens of text."""
    plain = tiny_model(40, 0, positions + TOKENS, spread=spread, seed=seed)
    torch.manual_seed(seed)
    return add_adapter(plain, ADAPTERS[1]).double().eval()


def randomised(model: PeftModel) -> PeftModel:
    """Away from the beginning, where a LoRA changes nothing."""
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.3 * torch.randn(weight.shape, generator=generator).to(weight.dtype)
    return model.eval()


def test_sampling_after_a_prefix() -> None:
    model = prefixed(test_decoding.POSITIONS, 0.15, 0)
    assert text_length(model) == test_decoding.POSITIONS and prefix_length(model) == TOKENS
    prompts, seeds = test_decoding.prompts_of([5, 12, 9, 2, 12, 11]), list(range(6))
    texts = sample(model, prompts, seeds, partial(top_p, p=0.9, temperature=1.2), Limits(NEWLINES, 3))
    pairs = list(zip(prompts, seeds, strict=True))
    assert texts == [test_decoding.reference_text(model, *pair, 3, 0.9, 1.2)[0] for pair in pairs]
    plain = model.get_base_model()
    assert texts != sample(plain, prompts, seeds, partial(top_p, p=0.9, temperature=1.2), Limits(NEWLINES, 3))


def test_sampling_after_a_prefix_ends_with_the_context() -> None:
    model = prefixed(48, 0.15, 0)
    prompts = test_decoding.prompts_of([10, 40])
    texts = sample(model, prompts * 8, range(16), partial(top_p, p=0.9, temperature=1.2), QUIET)
    assert max(len(prompt) + len(text) for prompt, text in zip(prompts * 8, texts, strict=True)) == 48


@pytest.mark.parametrize("options", test_beam_search.SETTINGS)
def test_beam_search_after_a_prefix(options: test_beam_search.Options) -> None:
    model = prefixed(test_beam_search.POSITIONS, 0.3, 5)
    prompts = test_beam_search.prompts_of([10, 4, 7, 2], 1)
    texts = beam_search(model, prompts, options, Limits(NEWLINES, 4))
    assert texts == [test_beam_search.reference(model, prompt, options, 4) for prompt in prompts]


def test_greedy_search_after_a_prefix_is_that_of_peft() -> None:
    model = prefixed(32, 0.3, 5)
    for prompt in test_beam_search.prompts_of([6, 9], 4):
        ((ours,),) = [texts[:1] for texts in beam_search(model, [prompt], test_beam_search.SETTINGS[1], QUIET)]
        new = model.generate(input_ids=torch.tensor([prompt]), do_sample=False, max_new_tokens=12, pad_token_id=0)
        theirs = new[0, len(prompt) :].tolist()
        assert ours[:12] == (theirs[: theirs.index(0)] if 0 in theirs else theirs)


@pytest.mark.parametrize("options", test_contrastive_search.SETTINGS)
def test_contrastive_search_after_a_prefix(options: test_contrastive_search.Options) -> None:
    model = prefixed(test_contrastive_search.POSITIONS, 0.25, 3)
    prompts = test_contrastive_search.prompts_of([12, 5, 9, 2, 20], 1)
    texts = contrastive_search(model, prompts, options, Limits(NEWLINES, 3))
    assert texts == [test_contrastive_search.reference(model, prompt, options, 3) for prompt in prompts]


def test_contrastive_decoding_after_a_prefix() -> None:
    positions = test_contrastive_decoding.POSITIONS
    models = (prefixed(positions, 0.25, 3), tiny_model(40, 0, positions, spread=0.25, seed=4).double())
    prompts = test_contrastive_decoding.prompts_of([12, 5, 9, 2, 20], 1)
    texts = contrastive_decoding(models, prompts, options("contrastive_decoding"), Limits(NEWLINES, 3))
    assert texts == [test_contrastive_decoding.reference(models, prompt, 0.1, 3) for prompt in prompts]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=NAMES)
def test_the_loss_is_that_of_peft_and_reaches_the_adapter_alone(adapter: Lora | Prefix) -> None:
    model = randomised(add_adapter(tiny_model(40, 0, spread=0.2), adapter).double())
    ids, lengths = torch.randint(1, 40, (4, 11)), torch.tensor([11, 4, 7, 2])
    loss, _ = language_model.loss(model, {"input_ids": ids, "lengths": lengths})
    real = torch.arange(11) < lengths[:, None]
    theirs = model(input_ids=ids, attention_mask=real.long(), labels=ids.masked_fill(~real, -100)).loss
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-5)
    loss.backward()
    trained = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert trained and all("lora_" in name or "prompt_encoder" in name for name in trained)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=NAMES)
def test_a_saved_adapter_is_small_and_loads_in_plain_peft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapter: Lora | Prefix
) -> None:
    monkeypatch.chdir(tmp_path)
    backbone = write_backbone(Path("models/backbone"))
    model = randomised(add_adapter(GPT2LMHeadModel.from_pretrained(backbone), adapter))
    model.save_pretrained("models/sonnet/row")
    assert (
        not list(Path("models/sonnet/row").glob("*.bin")) and not Path("models/sonnet/row/model.safetensors").exists()
    )
    ids = torch.randint(1, 300, (3, 12))
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        plain = AutoPeftModelForCausalLM.from_pretrained("models/sonnet/row").eval()
        assert plain.active_peft_config.base_model_name_or_path == "models/backbone"
        assert torch.allclose(plain(input_ids=ids).logits, expected, atol=1e-5)
        ours = load_language_model(Path("models/sonnet/row"), backbone)
        assert torch.allclose(ours(input_ids=ids).logits, expected, atol=1e-5)
    assert isinstance(ours, GPT2LMHeadModel) == isinstance(adapter, Lora), "a LoRA is merged"
    assert not torch.allclose(GPT2LMHeadModel.from_pretrained(backbone)(ids).logits, expected, atol=1e-2)
