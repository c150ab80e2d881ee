"""The sources `path` and `scratch` of the backbone: a folder that transformers loads, or one clear line."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_project import REPOSITORY
from test_checkpoints import adopted, change_json, gpt2, same_logits, write
from tiny import END, TEXT, write_backbone, write_prepared
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from pipeline.config.data import Scratch
from pipeline.errors import InputError
from pipeline.models.backbone import save
from pipeline.text.prompts import copy_tokenizer, end_of_text, load_tokenizer
from pipeline.training.pretrain import corpus_texts, from_scratch, train_tokenizer
from pipeline.training.run import Run

SCRATCH = Scratch(
    corpora=["sst", "sonnets", "etpc", "plays"],
    vocab_size=300,
    layers=1,
    width=16,
    heads=2,
    context=64,
    block=32,
    tokens=1000,
    batch_size=10,
    lr=0.01,
    warmup=0.0,
    weight_decay=0.1,
    dropout=0.0,
    checkpoint_steps=2,
)
FILES = ("config.json", "model.safetensors", "tokenizer.json")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared")


def check_folder(folder: Path) -> PreTrainedModel:
    """The folder is one that users and later stages can load."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids(END)
    assert end_of_text(load_tokenizer(folder)) == end
    assert (tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token) == (END, END, END)
    assert model.config.eos_token_id == model.config.pad_token_id == end
    assert len(tokenizer) == model.config.vocab_size == len(model.lm_head.weight)
    assert tokenizer.model_max_length == model.config.n_positions
    assert tokenizer(TEXT[3])["input_ids"] == load_tokenizer(folder).encode(TEXT[3]).ids
    ids = tokenizer(f"{END}A warm song", return_tensors="pt")
    written = model.generate(**ids, max_new_tokens=3, do_sample=False)
    assert written[0, : ids["input_ids"].shape[1]].tolist() == ids["input_ids"][0].tolist()
    return model


def test_prompts_that_the_model_has_no_positions_for_are_refused(tmp_path: Path) -> None:
    folder = write_backbone(tmp_path)
    load_tokenizer(folder, 96)
    with pytest.raises(InputError, match=r"params.yaml: max_length 97: the model in .* takes 96 tokens"):
        load_tokenizer(folder, 97)


def problem(function: Callable[[], None]) -> str:
    with pytest.raises(InputError) as caught:
        function()
    return str(caught.value)


@pytest.mark.parametrize(("named", "end"), [(END, None), (None, 50256), (None, 0)])
def test_a_local_folder_is_adopted(tmp_path: Path, named: str | None, end: int | None) -> None:
    """The end of a text is the tokenizer's, whatever config.json says: 50256 stands there for want of another."""
    folder = write(gpt2(), tmp_path / "mine")
    change_json(folder / "config.json", bos_token_id=end, eos_token_id=end)
    change_json(folder / "tokenizer_config.json", eos_token=named)
    adopted(folder, tmp_path / "out")
    same_logits(check_folder(tmp_path / "out"), gpt2())


def test_an_end_of_text_of_another_name(tmp_path: Path) -> None:
    folder = write(gpt2(), tmp_path / "mine")
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace(END, "[end]"), encoding="utf-8")
    change_json(folder / "tokenizer_config.json", eos_token=None)
    adopted(folder, out := tmp_path / "out")
    assert AutoTokenizer.from_pretrained(out).eos_token == "[end]" and end_of_text(load_tokenizer(out)) == 0
    change_json(folder / "config.json", eos_token_id=None)
    message = problem(lambda: adopted(folder, tmp_path / "none"))
    assert message.endswith("its tokenizer has no token that ends a text (eos_token); name one there")


def run_in(folder: Path, settings: Scratch, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with the parameters of the sample, in float32."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    text = (REPOSITORY / "profiles/sample.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("precision: portable", "precision: fp32"), encoding="utf-8")
    return Run("backbone", settings, [])


def trained(prepared: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    run = run_in(folder, SCRATCH, monkeypatch)
    made = from_scratch(SCRATCH, prepared, run)
    with run.outputs() as out:
        save(*made, out)
    return folder / "models/backbone"


def test_three_steps_from_scratch(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained(prepared, tmp_path, monkeypatch)
    model = check_folder(folder)
    config = model.config
    assert (config.n_layer, config.n_embd, config.n_head, config.n_positions) == (1, 16, 2, 64)
    assert config.vocab_size <= 300
    curve = (tmp_path / "plots/curves/backbone/train_loss.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in curve] == ["step", "1", "2", "3"]  # 1000 tokens are 3 steps of 10 x 32
    losses = [float(line.split("\t")[1]) for line in curve[1:]]
    assert losses[-1] < losses[0] < 7
    (tmp_path / "row").mkdir()
    copy_tokenizer(folder, tmp_path / "row")  # as a fine-tuned row gets its tokenizer
    assert AutoTokenizer.from_pretrained(tmp_path / "row").eos_token == END


def test_the_same_seed_trains_the_same_backbone(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [trained(prepared, tmp_path / name, monkeypatch) for name in ("a", "b")]
    for name in FILES:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_only_training_text_is_read(prepared: Path) -> None:
    for corpus in ("paraphrase", "sst", "cfimdb", "sonnets"):
        texts = list(corpus_texts(prepared, corpus))
        assert len(texts) == 30  # each question once, although it stands in two pairs
        assert all(text.startswith("train ") for text in texts)
    assert list(corpus_texts(prepared, "etpc")) == list(corpus_texts(prepared, "plays")) == []


def scratch(**changes: object) -> Scratch:
    return Scratch.model_validate(SCRATCH.model_dump() | changes)


def test_empty_corpora_are_an_input_error(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = scratch(corpora=["etpc", "plays"])
    message = problem(lambda: from_scratch(settings, prepared, run_in(tmp_path, settings, monkeypatch)))
    assert message.startswith("params.yaml: backbone.scratch.corpora: ") and "data/prepared" in message


def test_less_text_than_one_batch_is_an_input_error(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = scratch(batch_size=2000, tokens=64000)
    message = problem(lambda: from_scratch(settings, prepared, run_in(tmp_path, settings, monkeypatch)))
    assert "less than one batch of 2000" in message and "lower block or batch_size" in message


TRAINED = train_tokenizer(TEXT, 320)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=150, deadline=None)
@example("na\u00efve \N{GRINNING FACE}\u200d\ufe0f\r\n\t \u2028\x00 'don't'  \n\n")
def test_the_tokenizer_loses_nothing(text: str) -> None:
    assert TRAINED.decode(TRAINED.encode(text).ids) == text


def test_the_tokenizer_has_an_end_of_text_token_of_its_own() -> None:
    assert TRAINED.encode(f"a{END}b").ids == [*TRAINED.encode("a").ids, end_of_text(TRAINED), *TRAINED.encode("b").ids]
    assert TRAINED.get_vocab_size() <= 320
    pieces = " ".join(random.Random(0).choices("river garden teacher".split(), k=30))
    assert len(TRAINED.encode(pieces).ids) < len(pieces)  # it merges
