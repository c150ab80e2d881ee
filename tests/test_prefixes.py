"""Prefixes in some blocks, from words, and one for each part of a poem, against a slow model that has no mask."""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import test_beam_search
import test_contrastive_search
import test_decoding
import torch
from architectures import model_of, write_backbone
from peft import AutoPeftModelForCausalLM
from tiny import NEWLINES, TEXT, options, prefix, tiny_tokenizer, tiny_training
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pipeline.config.sonnet import System
from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.contrastive_search import contrastive_search
from pipeline.decoding.running import Limits, Reader, sample
from pipeline.decoding.top_p import top_p
from pipeline.decoding.verse import Critic
from pipeline.decoding.writer import Writer
from pipeline.errors import InputError
from pipeline.models.adapters import add_adapter, load_language_model, prefixed_states
from pipeline.models.backbone import load_backbone, save_weights
from pipeline.models.decoder import base_of
from pipeline.objectives import language_model
from pipeline.text.prepared import Poem
from pipeline.text.prompts import copy_tokenizer, load_tokenizer, plain_ids
from pipeline.training.loop import Rows, train

TOKENS, POSITIONS = 2, 40
LINES: Any = SimpleNamespace(decode=lambda ids: "\n" * NEWLINES[ids[0]], get_vocab_size=lambda: len(NEWLINES))
REFINED = {"layers": {"layers": 1}, "parts": {"parts": 4}, "both": {"layers": 1, "parts": 4}}


@pytest.fixture(autouse=True)
def float64() -> None:
    torch.set_default_dtype(torch.float64)


def refined(name: str, case: str, spread: float = 0.3) -> Any:  # noqa: ANN401 - of peft
    """A model whose prefix is large enough to be heard, for texts of POSITIONS tokens."""
    settings = prefix(TOKENS, **REFINED[case])
    model = model_of(name, positions=POSITIONS + settings.parts * TOKENS, spread=spread)
    torch.manual_seed(7)
    return add_adapter(model, settings, tokenizer=LINES).eval()


class Slow:
    """The same token by token, without any mask: a block's cache holds what the token sees, and nothing else."""

    def __init__(self, name: str, case: str, spread: float = 0.3) -> None:
        self.learnt, self.settings = refined(name, case, spread).get_prompt(batch_size=1), prefix(1, **REFINED[case])
        length = self.settings.parts * TOKENS
        self.model, self.first = model_of(name, positions=POSITIONS + length, spread=spread), length

    @torch.no_grad()
    def __call__(self, ids: Tensor, output_hidden_states: bool = False) -> SimpleNamespace:
        (row,), states = ids.tolist(), list[Tensor]()
        blocks, own = 2, self.settings.layers or 2
        empty = self.learnt.layers[0].keys[:, :, :0]
        text = [(empty, empty)] * blocks
        for place, token in enumerate(row):
            part = min(sum(NEWLINES[before] for before in row[:place]) // 4, self.settings.parts - 1)
            seen = slice(part * TOKENS, part * TOKENS + TOKENS)
            pairs = [(empty, empty)] * (blocks - own)
            pairs += [(layer.keys[:, :, seen], layer.values[:, :, seen]) for layer in self.learnt.layers[:own]]
            cache = DynamicCache(
                [
                    tuple(map(partial(torch.cat, dim=2), zip(*both, strict=True)))
                    for both in zip(pairs, text, strict=True)
                ]
            )
            at = torch.tensor([[self.first + place]])
            read = base_of(self.model)(torch.tensor([[token]]), past_key_values=cache, position_ids=at)
            states.append(read.last_hidden_state[0])
            text = [(layer.keys[:, :, -place - 1 :], layer.values[:, :, -place - 1 :]) for layer in cache.layers]
        hidden = torch.cat(states)[None]
        return SimpleNamespace(logits=self.model.get_output_embeddings()(hidden), hidden_states=[hidden])


def poems(sizes: list[int], every: int, seed: int = 0) -> list[list[int]]:
    """Texts with a line break, or two in one token, at each `every`-th token."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(1, 32, (size,), generator=generator).tolist() for size in sizes]
    return [
        [32 + place % 7 if place % every == every - 1 else token for place, token in enumerate(row)] for row in rows
    ]


@pytest.mark.parametrize("case", REFINED)
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_training_and_reading_step_by_step_see_what_the_slow_model_sees(name: str, case: str) -> None:
    model, slow, rows = refined(name, case), Slow(name, case), poems([37, 12, 30], 2)
    assert [sum(NEWLINES[token] for token in row[:28]) > 12 for row in rows] == [True, False, True], (
        "into the last part"
    )
    expected = [slow(torch.tensor([row])).hidden_states[-1][0] for row in rows]
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=33)
    close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        for found, row, wanted in zip(prefixed_states(model, ids), rows, expected, strict=True):
            close(found[: len(row)], wanted)
        reader = Reader(model, [rows[0][:9], rows[2][:3]])  # the latter is padded with what may break a line
        close(reader.states()[:, -1], torch.stack([expected[0][8], expected[2][2]]))
        reader.go_on(torch.tensor([rows[2][3:9], rows[0][9:15]]), [1, 0])
        close(reader.states(), torch.stack([expected[2][3:9], expected[0][9:15]]))
        for place in range(15, 28):  # the next token comes in as one of two candidates
            following = torch.tensor([rows[2][place - 6], rows[0][place]])
            siblings = reader.siblings(torch.stack([torch.full((2,), 33), following], 1))
            close(siblings[:, 1], torch.stack([expected[2][place - 6], expected[0][place]]))
            reader.keep_sibling(torch.tensor([1, 1]), 2)
            reader.go_on(following, [0, 1])
        reader.go_on(torch.tensor([rows[0][28:31]]), [1])
        close(reader.states()[0], expected[0][28:31])


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_part_reaches_its_own_lines_and_later_ones_alone(name: str) -> None:
    """A later part changes nothing, not by a bit; an earlier one only through the text that is seen."""
    model, (row,) = refined(name, "parts"), poems([36], 2)
    lines = torch.tensor([sum(NEWLINES[before] for before in row[:place]) for place in range(36)])
    parts, weight = (lines // 4).clamp(max=3), model.prompt_encoder["default"].embedding.weight
    assert parts.unique().tolist() == [0, 1, 2, 3]
    before = prefixed_states(model, torch.tensor([row]))[0]
    for part in range(4):
        gradient = torch.autograd.grad(before[parts == part].sum(), weight, retain_graph=True)[0]
        reached = gradient.view(4, -1).abs().amax(1) > 0
        assert reached.tolist() == [other <= part for other in range(4)]
        with torch.no_grad():
            weight[part * TOKENS : part * TOKENS + TOKENS] += 1
            after = prefixed_states(model, torch.tensor([row]))[0]
            weight[part * TOKENS : part * TOKENS + TOKENS] -= 1
        changed = (after - before).abs().amax(1) > 1e-6
        assert changed.tolist() == (parts >= part).tolist()


@pytest.mark.parametrize("case", ["parts", "both"])
def test_decoders_write_what_the_slow_model_writes(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (test_decoding, test_beam_search, test_contrastive_search):
        monkeypatch.setattr(module, "POSITIONS", POSITIONS)
    model, slow, prompts, lines = refined("gpt2", case), Slow("gpt2", case), poems([9, 16, 5], 2), 12
    limits, choose = Limits(NEWLINES, lines), partial(top_p, p=0.9, temperature=1.2)
    texts = sample(model, prompts, range(3), choose, limits)
    slowly = partial(test_decoding.reference_text, slow, max_lines=lines, p=0.9, temperature=1.2)
    assert texts == [slowly(prompt, seed=seed)[0] for seed, prompt in enumerate(prompts)]
    assert max(sum(NEWLINES[token] for token in [*prompts[1], *text]) for text in texts) > 8, "a change of parts"
    beams = options("beam_search", beams=2)
    found = beam_search(model, prompts[1:], beams, limits)
    assert found == [test_beam_search.reference(slow, prompt, beams, lines) for prompt in prompts[1:]]
    contrast = options("contrastive_search", k=3)
    chosen = contrastive_search(model, prompts[1:], contrast, limits)
    assert chosen == [test_contrastive_search.reference(slow, prompt, contrast, lines) for prompt in prompts[1:]]


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
@pytest.mark.parametrize("tokens", [6, 9, 4])
def test_a_prefix_begins_as_words_before_the_text(name: str, tokens: int, tmp_path: Path) -> None:
    """Of so many tokens, of fewer, repeated, and of more, cut; a classifier in training has dropout, this has not."""
    tokenizer = load_tokenizer(write_backbone(name, tmp_path))
    words = next(TEXT[2][:end] for end in range(99) if len(plain_ids(tokenizer, [TEXT[2][:end]])[0]) == 6)
    own = (plain_ids(tokenizer, [words])[0] * 2)[:tokens]
    text = torch.tensor([[7, 8, 9, 10], [20, 21, 22, 23]])
    plain, given = (load_backbone(tmp_path, dropout) for dropout in (0.0, 0.3))
    model = add_adapter(given.train(), prefix(tokens, init=words), tokenizer=tokenizer)
    with torch.no_grad():
        expected = base_of(plain)(torch.cat([torch.tensor([own] * 2), text], 1)).last_hidden_state[:, tokens:]
        torch.testing.assert_close(prefixed_states(model.eval(), text), expected)
        # Over all parts of a poem, in the last block alone.
        model = add_adapter(load_backbone(tmp_path), prefix(tokens, init=words, parts=4, layers=1), tokenizer=tokenizer)
        (layer,) = model.get_prompt(batch_size=1).layers[:1]
        own = (plain_ids(tokenizer, [words])[0] * 6)[: 4 * tokens]
        read = base_of(plain)(torch.tensor([own]), use_cache=True).past_key_values.layers[1]
        torch.testing.assert_close((layer.keys, layer.values), (read.keys, read.values))


def test_a_network_of_another_width_makes_the_same_prefix() -> None:
    model = add_adapter(model_of("llama"), prefix(3, projection=True, hidden=5, layers=1))
    made = [weight.shape[0] for name, weight in model.named_parameters() if "transform" in name and "weight" in name]
    assert made == [5, 2 * 16] and model.get_prompt(batch_size=2).layers[0].keys.shape == (2, 2, 3, 8)


@pytest.mark.parametrize("case", REFINED)
def test_what_is_saved_reads_as_before_and_says_how_it_loads(case: str, tmp_path: Path) -> None:
    backbone, folder = write_backbone("llama", tmp_path / "backbone"), tmp_path / "row"
    tokenizer, settings = load_tokenizer(backbone), prefix(3, projection=True, **REFINED[case])
    model = add_adapter(load_backbone(backbone), settings, tokenizer=tokenizer).eval()
    prompt = [plain_ids(tokenizer, ["One\ntwo\n\nthree\nfour\nfive"])[0]]
    save_weights(model, folder)
    copy_tokenizer(backbone, folder)
    with torch.no_grad():
        loaded = load_language_model(folder, backbone)
        torch.testing.assert_close(
            Reader(loaded, prompt).logits(), Reader(model, prompt).logits(), atol=0.01, rtol=0.05
        )
        loss = partial(language_model.loss, batch={"input_ids": torch.tensor(prompt), "lengths": torch.tensor([9])})
        assert loss(loaded)[0].item() == pytest.approx(loss(model)[0].item(), abs=0.01)
        weight = loaded.prompt_encoder["default"].embedding.weight
        assert weight.shape == (3 * settings.parts, (settings.layers or 2) * 2 * 16)
        save_weights(loaded, tmp_path / "again")
    if settings.layers:  # plain peft wants one for every block
        with pytest.raises(IndexError):
            AutoPeftModelForCausalLM.from_pretrained(folder)(torch.tensor(prompt))
    assert {path.name: path.read_bytes() for path in folder.glob("adapter_model*")} == {
        path.name: path.read_bytes() for path in (tmp_path / "again").glob("adapter_model*")
    }


def test_verse_writes_with_a_prefix_for_each_part(tmp_path: Path) -> None:
    backbone = write_backbone("gpt2", tmp_path)
    tokenizer = load_tokenizer(backbone)
    model = add_adapter(load_backbone(backbone), prefix(2, parts=4), tokenizer=tokenizer).eval()
    prompts = [plain_ids(tokenizer, [text])[0] for text in ("a\nb\nc\nd\n", "a\nb\nc\n")]
    with torch.no_grad():
        (total, *_), _ = Critic(Writer(model, tokenizer, 0)).read(prompts, [0, 1], [[7, 8], [9]])
        hidden = prefixed_states(model, torch.tensor([[*prompts[0], 7, 8]]))[0, -3:-1]
        scores = model.get_output_embeddings()(hidden).log_softmax(-1)
    assert total == pytest.approx((scores[0, 7] + scores[1, 8]).item())
    system: System = options("verse", candidates=2)
    written = system.module.write(Writer(model, tokenizer, 0), [Poem(1, "a\nb\nc", None)], system)
    assert written.poems[0].text.startswith("a\nb\nc")


def test_a_prefix_that_cannot_be_is_one_line() -> None:
    with pytest.raises(InputError, match=re.escape("params.yaml: adapter.layers: the backbone has 2 blocks")):
        add_adapter(model_of("gpt2"), prefix(3, layers=3))
    model, rows = add_adapter(model_of("gpt2"), prefix(3, parts=4), tokenizer=tiny_tokenizer()), Rows([[1, 2]])
    with pytest.raises(InputError, match=r"^params.yaml: max_length: after the prefix there is room for 84"):
        train(model, rows, language_model.loss, tiny_training(), Path(), 0, "fp32")
