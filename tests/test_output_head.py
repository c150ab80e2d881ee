"""The decoders' output layer gives the logits of the model's own."""

import pytest
import torch
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.cache import output_head


@pytest.mark.parametrize("vocabulary", [1, 63, 64, 65, 200, 4096, 8200])
@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (0,), (0, 3)])
def test_logits_are_those_of_the_models_own_layer(vocabulary: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_head=2, n_layer=1, vocab_size=vocabulary)).eval()
    hidden = torch.randn(*shape, 16)
    with torch.inference_mode():
        logits = output_head(model)(hidden)
        expected = model.lm_head(hidden)
    assert logits.shape == (*shape, vocabulary)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-6)
