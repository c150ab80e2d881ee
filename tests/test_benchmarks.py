"""The references of the benchmarks compute the same as what they are compared with."""

import torch
from torch import nn
from transformers.models.gpt2.configuration_gpt2 import GPT2Config

from benchmarks.course_loop import CourseModel, copy_weights
from pipeline.models.classifier import GPT2Classifier
from pipeline.text.batch import pad


def test_the_course_loop_is_the_same_model() -> None:
    """Same loss and same gradients in float64 without dropout, so that only the speed is compared."""
    config = GPT2Config(
        vocab_size=90,
        n_positions=40,
        n_embd=32,
        n_layer=3,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.2,
        activation_function="gelu_pytorch_tanh",
        bos_token_id=0,
        eos_token_id=0,
    )
    config.num_labels, config.pooling, config.head_dropout, config.freeze_backbone = 2, "last", 0.0, False
    torch.manual_seed(0)
    ours, course = GPT2Classifier(config).double().train(), CourseModel(config).double().train()
    nn.init.normal_(ours.score.weight, std=0.5)
    copy_weights(ours, course)
    ids, lengths = pad([[5, 80, 3], list(range(1, 30)), [7]])
    labels = torch.tensor([0, 1, 1])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    losses = [
        nn.functional.cross_entropy(logits, labels) for logits in (ours(ids, lengths).double(), course(ids, mask))
    ]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-7)
    grads = [
        (ours.transformer.wte.weight.grad, course.words.weight.grad),
        (ours.score.weight.grad, course.head.weight.grad),
    ]
    for block, theirs in zip(ours.transformer.h, course.blocks, strict=True):
        grads.append((block.mlp.c_fc.weight.grad.T, theirs.fc.weight.grad))
        query, key, value = block.attn.c_attn.weight.grad.chunk(3, dim=1)
        grads += [
            (query.T, theirs.query.weight.grad),
            (key.T, theirs.key.weight.grad),
            (value.T, theirs.value.weight.grad),
        ]
    for mine, reference in grads:
        assert reference.abs().max() > 1e-6
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-8)
