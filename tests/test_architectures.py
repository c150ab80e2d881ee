"""Reading, classifying and writing with several causal language models of transformers, against transformers' own.

GPT-2 is in the other tests, too; here it shows that the comparisons hold for what they were first written for.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import test_beam_search
import test_contrastive_search
import test_decoding
import torch
from architectures import BEGIN, BEGINS, CONFIGS, PROMPTS, config_of, model_of, write_backbone
from tiny import END, NEWLINES, QUIET, TEXT
from tiny import prefix as prefixes
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.modeling_utils import PreTrainedModel

from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.contrastive_search import contrastive_search
from pipeline.decoding.running import Limits, sample
from pipeline.decoding.top_p import top_p
from pipeline.decoding.verse import Critic
from pipeline.decoding.writer import Writer, encode_prompts
from pipeline.errors import InputError
from pipeline.models.adapters import add_adapter
from pipeline.models.backbone import load_backbone
from pipeline.models.classifier import build_classifier, load_classifier
from pipeline.models.decoder import ATTENTION, MLP, base_of, blocks_of, context, part_of, probe, states
from pipeline.models.output import logits, summed_cross_entropy, surprisals
from pipeline.objectives import cross_entropy, r_drop, simcse
from pipeline.text import prompts as text
from pipeline.text.batches import collate
from pipeline.text.prepared import Pair, Poem
from pipeline.training.loop import Rows

CLASSIFIERS = [name for name in CONFIGS if name != "cohere"]  # transformers has no classifier of Cohere's blocks
PREFIX = 5
close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("backbones")
    return {name: write_backbone(name, folder / name) for name in CONFIGS}


@pytest.fixture(params=CONFIGS)
def backbone(request: pytest.FixtureRequest, backbones: dict[str, Path]) -> Path:
    return backbones[request.param]


def plain(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def test_states_logits_and_losses_are_those_of_transformers(backbone: Path) -> None:
    theirs, ours, generator = plain(backbone), load_backbone(backbone), torch.Generator().manual_seed(1)
    assert probe(ours) is None and context(ours) == 96
    ids, targets = torch.randint(1, 300, (2, 3, 14), generator=generator)
    added, rows, read = torch.randn(3, 14, 32, generator=generator), torch.arange(3), torch.tensor([3, 13, 0])
    for extra in (None, added):
        embedded = theirs.get_input_embeddings()(ids) + (0 if extra is None else extra)
        expected = theirs(inputs_embeds=embedded, output_hidden_states=True)
        found = states(base_of(ours), ids, added=extra)
        for mine, other in zip(found, expected.hidden_states, strict=True):
            close(mine, other)
        close(logits(ours, found[-1]), expected.logits)
        close(states(base_of(ours), ids, read, extra)[-1][:, 0], expected.hidden_states[-1][rows, read])
    assert len(found) == 3 and expected.logits.std() > 0.2
    hidden, wanted, entropy = found[-1].flatten(0, 1), targets.flatten(), nn.functional.cross_entropy
    every = entropy(expected.logits.flatten(0, 1), wanted, reduction="none")
    close(surprisals(ours, hidden, wanted), every)
    total = summed_cross_entropy(ours, hidden, wanted)
    close(total, every.sum())
    total.backward(), every.sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert other.grad is not None and other.grad.any()
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", CLASSIFIERS)
@torch.no_grad()
def test_a_classifier_is_that_of_transformers(backbones: dict[str, Path], tmp_path: Path, name: str) -> None:
    answers, batch, whole = [7, 5], collate(Rows(PROMPTS)), plain(backbones[name])
    outputs = [whole(torch.tensor([row]), output_hidden_states=True) for row in PROMPTS]
    said = {}
    for pooling in ("last", "mean"):
        model = build_classifier(backbones[name], 2, pooling, 0.1, 0.1, answers=answers).eval()
        said[pooling] = model(**batch)
        model.save_pretrained(tmp_path / pooling)
        assert torch.equal(load_classifier(tmp_path / pooling)(**batch), said[pooling])
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "last").eval()
    real = torch.arange(12) < batch["lengths"][:, None]
    padded = batch["input_ids"].masked_fill(~real, theirs.config.pad_token_id)
    close(theirs(padded, attention_mask=real.long()).logits, said["last"])
    answered = torch.stack([output.logits[0, -1, answers] for output in outputs])
    cap = getattr(whole.config, "final_logit_softcapping", None)
    close(cap * torch.atanh(answered / cap) if cap else answered, said["last"])  # the head of a cloze prompt
    means = [output.hidden_states[-1][0].mean(0) for output in outputs]
    close(torch.stack(means) @ theirs.score.weight.T, said["mean"])
    assert said["last"].std() > 0.1 and not torch.allclose(said["last"], said["mean"], atol=0.01)


def test_an_architecture_without_a_classifier_is_refused(backbones: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="/cohere: a model of the type 'cohere' cannot do this"):
        build_classifier(backbones["cohere"], 2, "last", 0.1, 0.1)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_dropout_is_everywhere_in_training_and_nowhere_else(backbones: dict[str, Path], name: str) -> None:
    template = [[9], [8], [10]]  # before, between and after the sentences of a pair
    prompts = [[9, 20, 21, 8, 22, second, 10] for second in (20, 30, 40)]  # the sentences of the first share a token
    others = [[9, 20, 21, 8, third, 10] for third in (23, 33, 43)]
    batch = collate(Rows(prompts, labels=[0, 1, 0], first=prompts, second=others))
    model = build_classifier(backbones[name], 2, "last", 0.25, 0.0, answers=[7, 5], template=template)
    base, zeros = base_of(model), list[float]()

    def losses() -> tuple[float, float, float]:
        drop, parts = r_drop.loss(model, batch, r_drop.Options(alpha=1.0))
        contrast = simcse.loss(model, batch, simcse.Options(temperature=0.1, text="question"))[0]
        return drop.item(), parts["kl"].item(), contrast.item()

    def count(module: nn.Module, given: object, output: Any) -> None:  # noqa: ANN401 - what modules return
        values = output if isinstance(output, Tensor) else output[0]
        zeros.append((values == 0).float().mean().item())

    if name in ("gpt2", "gpt_neox"):  # they have dropout of their own
        assert {module.p for module in base.modules() if isinstance(module, nn.Dropout)} == {0.25}
    else:
        parts = [part_of(block, names) for block in blocks_of(base) for names in (ATTENTION, MLP)]
        hooks = [part.register_forward_hook(count) for part in (base.get_input_embeddings(), *parts)]
        losses()
        assert len(hooks) == 5 and all(share == pytest.approx(0.25, abs=0.1) for share in zeros)
    training, again = losses(), losses()
    assert training != again and min(training[1], training[2]) > 1e-4
    model.eval()
    evaluation = losses()
    assert evaluation == losses() and evaluation[1] < 1e-7 and abs(evaluation[2] - training[2]) > 1e-3

    cross_entropy.loss(model, batch, cross_entropy.Options(label_smoothing=0.0))[0].backward()
    assert model.exact_match.grad.any()
    unmarked = model(batch["input_ids"], batch["lengths"])
    model.exact_match.data += torch.randn(32, generator=torch.Generator().manual_seed(1))
    change = (model(batch["input_ids"], batch["lengths"]) - unmarked).abs().amax(1)
    assert change[0] > 1e-3 and not change[1:].any()


@pytest.fixture(params=[(name, prefix) for name in CONFIGS if name != "gpt2" for prefix in (0, PREFIX)], ids=str)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - of peft or plain
    """A model for texts of 15 tokens, with or without a prefix before them, as the slow decoders take it."""
    for module in (test_decoding, test_beam_search, test_contrastive_search):
        monkeypatch.setattr(module, "POSITIONS", 15)
    name, prefix = request.param
    found = model_of(name, positions=15 + prefix, spread=0.3)
    if name == "llama":
        found.set_attn_implementation("eager")  # as a step of training on the CPU leaves it
    torch.manual_seed(1)
    return (add_adapter(found, prefixes(PREFIX)) if prefix else found).double().eval()


def test_decoders_equal_slow_ones_without_cache_batch_and_padding(model: Any) -> None:  # noqa: ANN401
    """Texts that end with the context beside a longer one: what a sliding window shows depends on padding."""
    prompts, choose = test_decoding.prompts_of([3, 9, 6, 2]), partial(top_p, p=0.9, temperature=1.2)
    expected = [test_decoding.reference_text(model, prompt, seed, 99, 0.9, 1.2) for seed, prompt in enumerate(prompts)]
    assert sample(model, prompts, range(4), choose, QUIET) == [written for written, _ in expected]
    prompts, limits, beams = prompts[:3], Limits(NEWLINES, 4), test_beam_search.SETTINGS[2]
    found = beam_search(model, prompts, beams, limits)
    assert found == [test_beam_search.reference(model, prompt, beams, 4) for prompt in prompts]
    options = test_contrastive_search.SETTINGS[4]
    texts = contrastive_search(model, prompts, options, limits)
    assert texts == [test_contrastive_search.reference(model, prompt, options, 4) for prompt in prompts]
    assert len({*map(len, texts), *(len(written) for own in found for written in own)}) > 2


@torch.no_grad()
def test_the_critic_of_verse_reads_what_a_plain_pass_gives(backbone: Path) -> None:
    theirs, writer = plain(backbone), Writer(load_backbone(backbone), text.load_tokenizer(backbone), 0)
    texts, prompts = [*PROMPTS[1:], []], [PROMPTS[0], PROMPTS[0][:2]]  # one of them is padded
    rows = [row for row in (0, 1) for _ in texts]
    sums, following = Critic(writer).read(prompts, rows, texts * 2)
    for row, own, total, after in zip(rows, texts * 2, sums, following, strict=True):
        prompt = prompts[row]
        scores = theirs(torch.tensor([prompt + own])).logits[0, len(prompt) - 1 :].log_softmax(-1)
        assert total == pytest.approx(sum(scores[place, token].item() for place, token in enumerate(own)), abs=1e-3)
        close(after, scores[-1])


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_texts_have_the_special_tokens_of_their_tokenizer(backbones: dict[str, Path], name: str) -> None:
    """One has only an end, one another beginning, and one puts that before every text itself."""
    folder, put = backbones[name], BEGINS.get(name, False)
    theirs, ours, config = AutoTokenizer.from_pretrained(folder), text.load_tokenizer(folder, 96), plain(folder).config
    begin, end = theirs.convert_tokens_to_ids([BEGIN if name in BEGINS else END, END])
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (begin, end, end)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (begin, end, end)
    assert (begin == end) == (name == "gpt2") and theirs.model_max_length == 96
    (ids,) = text.plain_ids(ours, TEXT[3:])
    assert ours.decode(ids) == TEXT[3] and not {begin, end} & {*ids}
    assert text.encode_texts(ours, TEXT[3:], 999) == [theirs(TEXT[3])["input_ids"]] == [[begin] * put + ids]
    assert text.encode_documents(ours, TEXT[3:], 999) == [[begin, *ids, end]]
    assert encode_prompts(ours, [Poem(1, TEXT[3], None)], 999) == [[begin, *ids, *text.plain_ids(ours, ["\n"])[0]]]
    before, between, after = text.cloze_template(ours)
    assert [ours.decode([token]) for token in text.answer_tokens(ours)] == [" no", " yes"]
    for sentence in (TEXT[2], TEXT[2] * 9):  # the latter is cut
        (prompt,) = text.encode_pairs(ours, [Pair("", sentence, sentence, 0)], 70)
        assert len(prompt) <= 70 and prompt[: len(before)] == before and prompt[-len(after) :] == after
        assert prompt.count(begin) == put and (prompt[0] == begin) == put
        assert ours.decode(prompt).count(ours.decode(between)) == 1


WINDOW = {"max_position_embeddings": 2048, "sliding_window": 512}


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"n_positions": 1024, "max_position_embeddings": 7}, 1024),
        ({"max_position_embeddings": 2048, "sliding_window": None}, 2048),
        (WINDOW, 512),
        (WINDOW | {"use_sliding_window": False}, 2048),
        ({"max_position_embeddings": 2048, "window_size": 256}, 256),  # GPT-Neo
    ],
)
def test_a_text_is_as_long_as_what_its_tokens_see(config: dict[str, Any], tokens: int) -> None:
    assert text.context_of(config) == tokens


HEADS = {"num_key_value_heads": 2, "max_position_embeddings": 64}
LATENT = {"qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "q_lora_rank": 8, "kv_lora_rank": 8}
UNLIKE: dict[str, tuple[dict[str, Any], str]] = {
    "bert": ({}, "its blocks are not of an attention and an MLP"),
    "mamba": ({}, "its blocks are not of an attention and an MLP"),
    "opt": ({}, "its blocks are not of an attention and an MLP"),
    "bloom": ({}, r"its config.json does not say how many tokens it takes \(max_position_embeddings\)"),
    "openai-gpt": ({}, "it does not keep keys and values of one shape"),
    "deepseek_v3": (LATENT | {"num_key_value_heads": 4}, "it does not keep keys and values of one shape"),
    "modernbert-decoder": (HEADS, "its output layer does more than multiply, scale and cap"),
    "gemma3_text": (HEADS | {"use_bidirectional_attention": True}, "its tokens see later ones: it is an encoder"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_unlike_the_others_is_refused_with_a_reason(name: str) -> None:
    changes, reason = UNLIKE[name]
    torch.manual_seed(0)
    found = AutoModelForCausalLM.from_config(config_of(name, initializer_range=0.3, **changes)).eval()
    assert re.match(reason, probe(found) or "nothing")
