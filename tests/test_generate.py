"""Generated sonnets: prompts as in training, whole poems, and one random stream per text."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tiny import DECODERS, END, TEXT, options, tiny_model, tiny_tokenizer, write_backbone, write_prepared
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.params import load_params
from pipeline.config.sonnet import System
from pipeline.decoding.epsilon import epsilon
from pipeline.decoding.min_p import min_p
from pipeline.decoding.top_k import top_k
from pipeline.decoding.writer import Writer, Written, encode_prompts, stream_seed, whole_poem, with_nll
from pipeline.errors import InputError
from pipeline.files import read_json, read_jsonl, write_jsonl
from pipeline.stages import generate_sonnets
from pipeline.stages.code import listings
from pipeline.stages.generate_sonnets import submission
from pipeline.text.prepared import Generated, Poem
from pipeline.text.prompts import encode_documents, end_of_text

TOKENIZER = tiny_tokenizer()
PROMPT = TEXT[3]
POEMS = [
    Poem(156, PROMPT, None),
    Poem(2, "A warm, bright song\nof one old river\nand \N{GRINNING FACE} caf\u00e9", None),
    Poem(31, "a\nb\nc", None),
]
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n\n\t \r\ufffd\u2028ab"), max_size=60)


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    end = TOKENIZER.token_to_id(END)
    return tiny_model(TOKENIZER.get_vocab_size(), end, positions=110, spread=0.15).double()


def run(model: GPT2LMHeadModel, system: System, poems: list[Poem], seed: int = 1, lines: Sequence[str] = ()) -> Written:
    """What a system writes."""
    written: Written = system.module.write(Writer(model, TOKENIZER, seed, lambda: lines, amateur), poems, system)
    return written


def amateur() -> GPT2LMHeadModel:
    return tiny_model(TOKENIZER.get_vocab_size(), TOKENIZER.token_to_id(END), positions=110, seed=1).double()


def write(model: GPT2LMHeadModel, poems: list[Poem], draws: int = 2, seed: int = 3) -> list[Generated]:
    return run(model, options("top_p", draws=draws), poems, seed).poems


@given(ANYTHING)
@settings(max_examples=200, deadline=None)
@example("one\n\n  two  \n\t\n\x00three\x07\ufffd\n" + "more\n" * 20)
def test_a_whole_poem_keeps_its_prompt_and_has_14_lines_at_most(continuation: str) -> None:
    text = whole_poem(PROMPT, continuation)
    lines = text.split("\n")
    assert text.startswith(PROMPT) and lines[:3] == PROMPT.split("\n")
    assert 3 <= len(lines) <= 14
    assert all(line and line == line.strip() and line.isprintable() and "\ufffd" not in line for line in lines)
    assert text.splitlines() == lines  # nothing else in it breaks a line


def test_a_whole_poem_by_hand() -> None:
    assert whole_poem("a\nb\nc", "  d \n\n\te\n \nf") == "a\nb\nc\nd\ne\nf"
    assert whole_poem("a\nb\nc", "") == "a\nb\nc"
    assert whole_poem("a\nb\nc", "x\n" * 30).count("\n") == 13


def test_prompts_are_encoded_as_the_beginning_of_a_training_text() -> None:
    prompts = encode_prompts(TOKENIZER, POEMS, 512)
    documents = encode_documents(TOKENIZER, [f"{poem.prompt}\nThe rest" for poem in POEMS], 512)
    for prompt, document in zip(prompts, documents, strict=True):
        assert document[: len(prompt)] == prompt
    assert TOKENIZER.decode(prompts[0], skip_special_tokens=False) == f"{END}{PROMPT}\n"


def test_a_prompt_that_fills_the_context_is_an_input_error() -> None:
    length = len(encode_prompts(TOKENIZER, POEMS[:1], 512)[0])
    assert encode_prompts(TOKENIZER, POEMS[:1], length + 1)
    with pytest.raises(InputError, match=rf"sonnet 156: .* context of {length} tokens"):
        encode_prompts(TOKENIZER, POEMS[:1], length)


def test_line_breaks_per_token() -> None:
    counts = Writer(amateur(), TOKENIZER, 1).breaks
    assert len(counts) == TOKENIZER.get_vocab_size()
    ids = TOKENIZER.encode(PROMPT + "\n\nx\n").ids
    assert sum(counts[token] for token in ids) == 5
    assert counts[end_of_text(TOKENIZER)] == 0


def test_seeds_are_the_same_for_ever() -> None:
    assert [stream_seed(11711, 156, 0), stream_seed(11711, 156, 1), stream_seed(0, 1, 19)] == [
        5229598002566729843,
        6307089454878157820,
        4230283699812513056,
    ]
    seeds = {stream_seed(seed, poem, draw) for seed in (1, 11) for poem in (1, 11, 111) for draw in (1, 11)}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_poems_are_ordered_by_draw_and_keep_their_prompts(model: GPT2LMHeadModel) -> None:
    texts = write(model, POEMS, draws=3)
    assert [(text.draw, text.id) for text in texts] == [(draw, poem.id) for draw in range(3) for poem in POEMS]
    assert [text.prompt for text in texts] == [poem.prompt for poem in POEMS] * 3
    for text in texts:
        assert text.text.startswith(f"{text.prompt}\n") and text.text.count("\n") <= 13
        assert "\n\n" not in text.text
    assert len({text.text for text in texts}) == 9
    assert write(model, POEMS, draws=3) == texts


def test_a_poem_does_not_depend_on_what_is_written_beside_it(model: GPT2LMHeadModel) -> None:
    same_length = [Poem(number, PROMPT, None) for number in range(4)]
    together = {(text.id, text.draw): text.text for text in write(model, same_length)}
    alone = {(text.id, text.draw): text.text for poem in same_length[::-1] for text in write(model, [poem], draws=1)}
    assert alone == {key: text for key, text in together.items() if key[1] == 0}
    assert {text.text for text in write(model, same_length, seed=4)}.isdisjoint(together.values())


NAMES = [name for name in DECODERS if name not in ("top_p", "verse")]  # which have tests of their own


@pytest.mark.parametrize("name", NAMES)
def test_every_decoder_writes_one_poem_a_draw_and_prompt(model: GPT2LMHeadModel, name: str) -> None:
    system = options(name)
    poems, pool = run(model, system, POEMS)
    draws = getattr(system, "draws", 1)
    assert [(poem.draw, poem.id) for poem in poems] == [(draw, poem.id) for draw in range(draws) for poem in POEMS]
    assert all(poem.text.startswith(poem.prompt) for poem in poems) and any(poem.text != poem.prompt for poem in poems)
    assert run(model, system.once(), POEMS).poems == poems[: len(POEMS)]
    assert [run(model, system, [poem]).poems[0] for poem in POEMS] == poems[: len(POEMS)]
    assert bool(pool) == name.endswith("mbr")
    if pool and name != "line_mbr":
        assert {poem.text for poem in poems} <= {candidate.text for candidate in pool}


SEARCHES = [name for name in NAMES if name not in ("min_p", "epsilon", "beam_mbr", "line_mbr")]  # which do as others


@pytest.mark.parametrize("name", SEARCHES)
def test_every_decoder_keeps_to_a_number_of_tokens(model: GPT2LMHeadModel, name: str) -> None:
    def longest(limit: int | None) -> int:
        written = run(model, options(name, max_new_tokens=limit), POEMS)
        return max(len(TOKENIZER.encode(text.text).ids) - given[text.id] for text in [*written.poems, *written.pool])

    given = {poem.id: len(TOKENIZER.encode(poem.prompt + "\n").ids) for poem in POEMS}
    assert 0 < longest(7) <= 7 + 2 < longest(None)  # encoded anew, a text may have a token more


def test_line_mbr_uses_no_training_line(model: GPT2LMHeadModel) -> None:
    freely, pool = run(model, options("line_mbr"), POEMS)
    copied = {line for poem in freely for line in poem.text.split("\n")[3:]}
    assert copied
    held, again = run(model, options("line_mbr"), POEMS, lines=sorted(copied))
    assert again == pool and not copied & {line for poem in held for line in poem.text.split("\n")[3:]}


@given(st.lists(st.integers(-20, 20).map(lambda n: n / 4), min_size=2, max_size=12), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_samplers_keep_what_their_definitions_keep(values: list[float], seed: int) -> None:
    logits = torch.tensor([values], dtype=torch.float64).expand(200, -1)
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(200, 4, generator=generator, dtype=torch.float64)
    shares = (torch.tensor(values, dtype=torch.float64) / 1.2).softmax(-1)
    allowed = [
        shares >= shares.sort(descending=True).values[:5][-1],
        shares >= 0.3 * shares.max() - 1e-12,
        (shares >= 0.01 - 1e-12) | (shares == shares.max()),
    ]
    drawn = [top_k(logits, numbers, 5, 1.2), min_p(logits, numbers, 0.3, 1.2), epsilon(logits, numbers, 0.01, 1.2)]
    for tokens, kept in zip(drawn, allowed, strict=True):
        assert kept[tokens].all()


def test_a_system_must_be_one_of_the_parameters(tmp_path: Path) -> None:
    path, text = tmp_path / "params.yaml", (Path(__file__).parents[1] / "profiles/sample.yaml").read_text("utf-8")
    path.write_text(text)
    assert load_params(path).sonnet.system("top_p_untuned").model == "backbone"
    with pytest.raises(InputError, match="sonnet.systems has no entry 'none'; it has top_p_"):
        load_params(path).sonnet.system("none")
    path.write_text(text.replace("model: sonnet/full_b8_lr1e5", "model: sonnet/none"))
    with pytest.raises(InputError, match=r"top_p_tuned.model: expected one of backbone, sonnet/full_b8_lr1e5, .* got"):
        load_params(path)


def test_the_ensembles_pool_has_the_texts_of_every_decoder_once(model: GPT2LMHeadModel) -> None:
    _, pool = run(model, options("ensemble_mbr"), POEMS)
    found = {(candidate.id, candidate.text) for candidate in pool}
    assert len(found) == len(pool)
    for system in (options("beam_search"), options("contrastive_search"), options("top_p", temperature=1.0, draws=4)):
        assert {(text.id, text.text) for text in run(model, system, POEMS).poems} <= found


def test_nll_is_that_of_a_plain_pass(model: GPT2LMHeadModel) -> None:
    poems = [*write(model, POEMS, draws=1), Generated(9, 0, PROMPT, PROMPT)]
    for poem in with_nll(model, TOKENIZER, poems)[:-1]:
        (prompt,) = encode_prompts(TOKENIZER, [Poem(poem.id, poem.prompt, None)], 110)
        ids = torch.tensor([[prompt[0], *TOKENIZER.encode(poem.text).ids][:110]])
        with torch.no_grad():
            scores = model(ids).logits[0].log_softmax(-1)
        own = [-scores[place - 1, ids[0, place]].item() for place in range(len(prompt), ids.shape[1])]
        assert poem.nll == pytest.approx(sum(own) / len(own), abs=1e-6)
    assert with_nll(model, TOKENIZER, poems)[-1].nll is None


def test_submission_is_the_courses_format() -> None:
    poems = [Generated(156, 0, "a\nb\nc", "a\nb\nc\nd"), Generated(2, 0, "e", "e\nf")]
    assert submission(poems) == "--Generated Sonnets-- \n\n\n156\na\nb\nc\nd\n\n\n2\ne\nf\n\n"


def test_poems_survive_their_file(model: GPT2LMHeadModel, tmp_path: Path) -> None:
    poems = write(model, POEMS, draws=1)
    write_jsonl(tmp_path / "dev.jsonl", map(asdict, poems))
    assert [Generated(**row) for row in read_jsonl(tmp_path / "dev.jsonl")] == poems


def test_select_has_one_draw_and_a_seed_of_its_own_changes_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = YAML(typ="safe").load(Path(__file__).parents[1] / "profiles/sample.yaml")
    system = params["sonnet"]["systems"]["top_p_tuned"] | {"model": "backbone", "max_new_tokens": 4, "draws": 2}
    monkeypatch.chdir(tmp_path)
    write_prepared(Path("data/prepared"), rows=3)
    for folder in ("backbone", params["sonnet"]["scorer"]):
        write_backbone(Path("models", folder))
    found = []
    for seed in (None, params["seed"], 7):
        params["sonnet"] |= {"systems": {"one": system | {"seed": seed}}, "ensembles": {}}
        YAML().dump(params, Path("params.yaml"))
        generate_sonnets.main("one")
        files = {split: Path(f"predictions/sonnets/one/{split}.jsonl") for split in ("dev", "test", "select")}
        found.append({split: [Generated(**row) for row in read_jsonl(path)] for split, path in files.items()})
        assert read_json(Path("predictions/sonnets/one/system.json"))["seed"] == (seed or params["seed"])
    plain, same, other = found
    assert plain == same and all(plain[split] != other[split] for split in plain)
    assert {split: len(poems) for split, poems in plain.items()} == {"dev": 6, "test": 3, "select": 3}
    assert all(poem.prompt.startswith("select ") and poem.nll for poem in plain["select"])


ECHO = '''"""Every poem repeats a word."""

from typing import Literal

from pipeline.config.sonnet import System
from pipeline.decoding.writer import Written
from pipeline.text.prepared import Generated


class Options(System):
    decoder: Literal["echo"]
    word: str


def write(writer, poems, options):
    return Written([Generated(poem.id, 0, poem.prompt, f"{poem.prompt}\\n{options.word}") for poem in poems])
'''


def test_a_new_decoder_is_one_file_and_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Path(__file__).parents[1]
    shutil.copytree(repository / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pipeline/decoding/echo.py").write_text(ECHO)
    params = YAML(typ="safe").load(repository / "profiles/sample.yaml")
    params["sonnet"]["ensembles"] = {}
    params["sonnet"]["systems"] = {"one": {"model": "backbone", "decoder": "echo", "word": "again"}}
    YAML().dump(params, tmp_path / "params.yaml")
    write_prepared(tmp_path / "data/prepared", rows=3)
    for folder in ("backbone", params["sonnet"]["scorer"]):
        write_backbone(tmp_path / "models" / folder)
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "pipeline.stages", "generate_sonnets", "one"]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    poems = [Generated(**row) for row in read_jsonl(Path("predictions/sonnets/one/dev.jsonl"))]
    assert [poem.completion for poem in poems] == ["\nagain"] * 3 and all(poem.nll for poem in poems)
    assert read_json(Path("predictions/sonnets/one/system.json"))["word"] == "again"
    lists = listings()
    assert "pipeline/decoding/echo.py" in lists[Path("decoding/echo.txt")]
    assert not any("pipeline/decoding/echo.py" in text for path, text in lists.items() if path.stem != "echo")
