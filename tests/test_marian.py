"""MarianMT on a tiny random model: batches against one sentence at a time, and models that are not whole."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from transformers.models.marian.configuration_marian import MarianConfig
from transformers.models.marian.modeling_marian import MarianMTModel
from transformers.models.marian.tokenization_marian import MarianTokenizer

from pipeline.augment.marian import MarianTranslator
from pipeline.config import augmentation as config
from pipeline.errors import InputError

REPOSITORY = Path(__file__).parents[1]


def marian(model: str, **changes: object) -> MarianTranslator:
    """A translator with small settings."""
    settings = {"revision": "main", "beams": 1, "max_length": 24, "tokens_per_batch": 60, "codes": {}} | changes
    return MarianTranslator(config.Marian.model_validate({"model": model} | settings))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random models en-es and es-en, with a tokenizer trained on the sample's questions."""
    folder = tmp_path_factory.mktemp("marian")
    lines = (REPOSITORY / "data/sample/quora-train.csv").read_text().splitlines()[1:400]
    for pair, seed in (("en-es", 1), ("es-en", 2)):
        write_model(folder / pair, [line.split("\t")[2] for line in lines], seed)
    return folder


def write_model(folder: Path, sentences: list[str], seed: int) -> None:
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / "source"), vocab_size=200, minloglevel=2
    )
    (folder / "source.model").rename(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    pieces = [line.split("\t")[0] for line in (folder / "source.vocab").read_text().splitlines()[3:]]
    vocabulary = ["</s>", "<unk>", *pieces, "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(vocabulary)}))
    tokenizer = MarianTokenizer(str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"))
    tokenizer.save_pretrained(folder)
    sizes = {"d_model": 32, "max_position_embeddings": 40, "init_std": 0.2}
    sizes |= {f"{side}_{part}": 2 for side in ("encoder", "decoder") for part in ("layers", "attention_heads")}
    sizes |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": len(vocabulary)}
    ends = {"pad_token_id": len(vocabulary) - 1, "eos_token_id": 0, "decoder_start_token_id": len(vocabulary) - 1}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        MarianMTModel(MarianConfig(**sizes, **ends, forced_eos_token_id=0)).save_pretrained(folder)


def one_by_one(folder: Path, texts: Sequence[str], beams: int) -> list[str]:
    """Plain generation without padding."""
    tokenizer, model = MarianTokenizer.from_pretrained(folder), MarianMTModel.from_pretrained(folder).eval()
    translations = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt")
        output = model.generate(**inputs, num_beams=beams, do_sample=False, max_new_tokens=24)
        translations.append(tokenizer.decode(output[0], skip_special_tokens=True))
    return translations


QUESTIONS = [
    "Why should I eat cheese every day?",
    "What?",
    "What's the best part of working as a teacher?",
    "How do I learn French quickly?",
    "Where can I buy a cheap monitor?",
    "Is tea good for you?",
]


@pytest.mark.parametrize("beams", [1, 3])
def test_batches_give_what_single_sentences_give(models: Path, beams: int) -> None:
    translator = marian(f"{models}/{{source}}-{{target}}", beams=beams)
    expected = one_by_one(models / "en-es", QUESTIONS, beams)
    assert len(set(expected)) > 3  # the random model does not always say the same
    assert translator.translate(QUESTIONS, "en", "es") == expected
    assert translator.translate(QUESTIONS[::-1], "en", "es") == expected[::-1]
    assert translator.translate(QUESTIONS[:1], "es", "en") == one_by_one(models / "es-en", QUESTIONS[:1], beams)


def test_a_model_of_several_languages_is_told_which(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "en-ar"
    shutil.copytree(models / "en-es", folder)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    rare = [piece for piece, number in vocabulary.items() if number > 100][:2]
    renamed = dict(zip(rare, (">>ara<<", ">>heb<<"), strict=True))
    (folder / "vocab.json").write_text(json.dumps({renamed.get(piece, piece): n for piece, n in vocabulary.items()}))
    translator = marian(f"{tmp_path}/{{source}}-{{target}}", codes={"ar": "ara"})
    expected = one_by_one(folder, [f">>ara<< {text}" for text in QUESTIONS[:2]], 1)
    assert translator.translate(QUESTIONS[:2], "en", "ar") == expected != one_by_one(folder, QUESTIONS[:2], 1)
    assert translator.revision("en", "ar").endswith(" into ara beams=1")
    with pytest.raises(InputError, match=r"marian.codes.ar: .* has no >>ar<<; expected one of >>ara<<, >>heb<<"):
        marian(f"{tmp_path}/{{source}}-{{target}}").translate(QUESTIONS[:2], "en", "ar")


def test_batches_stay_within_their_tokens(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    generate = MarianMTModel.generate

    def record(self: MarianMTModel, input_ids: torch.Tensor, **options: object) -> torch.Tensor:
        sizes.append(input_ids.numel())
        return generate(self, input_ids=input_ids, **options)

    monkeypatch.setattr(MarianMTModel, "generate", record)
    marian(f"{models}/{{source}}-{{target}}").translate(QUESTIONS, "en", "es")
    assert 1 < len(sizes) < len(QUESTIONS) and max(sizes) <= 60


@pytest.mark.parametrize("max_length", [24, 1000])
def test_too_long_a_text_is_not_translated(models: Path, max_length: int) -> None:
    translator = marian(f"{models}/{{source}}-{{target}}", max_length=max_length)
    texts = ["How do I learn French? " * 9, "What?"]
    long, short = translator.translate(texts, "en", "es")
    assert long is None and short


def test_the_revision_is_the_content_and_the_beams(models: Path, tmp_path: Path) -> None:
    translator = marian(f"{models}/{{source}}-{{target}}")
    real = translator.revision("en", "es")
    assert real.startswith("sha256:") and real.endswith(" beams=1")
    assert real != translator.revision("es", "en")
    moved = tmp_path / "elsewhere-en-es"
    moved.mkdir()
    for file in (models / "en-es").iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    elsewhere = marian(f"{tmp_path}/elsewhere-{{source}}-{{target}}")
    assert elsewhere.revision("en", "es") == real
    with open(moved / "target.spm", "ab") as file:
        file.write(b"!")
    assert elsewhere.revision("en", "es") != real
    commit = "0123456789abcdef0123456789abcdef01234567"
    pinned = marian("Org/{source}-{target}", revision=commit, beams=4)
    assert pinned.revision("en", "es") == f"Org/en-es@{commit} beams=4"


def test_the_hub_s_commit_is_the_revision(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub download as it lies in the cache: refs/main names the commit of the snapshot."""
    commit = "f" * 40
    cache = models.parent / "hub"
    snapshot = cache / "models--Org--opus-en-es/snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in (models / "en-es").iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    (cache / "models--Org--opus-en-es/refs").mkdir()
    (cache / "models--Org--opus-en-es/refs/main").write_text(commit)
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(cache))
    translator = marian("Org/opus-{source}-{target}")
    assert translator.revision("en", "es") == f"Org/opus-en-es@{commit} beams=1"
    assert translator.translate(QUESTIONS[:1], "en", "es") == one_by_one(models / "en-es", QUESTIONS[:1], 1)


@pytest.mark.parametrize("missing", ["model.safetensors", "vocab.json", "source.spm"])
def test_an_incomplete_model_is_named(models: Path, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "en-es"
    folder.mkdir()
    for file in (models / "en-es").iterdir():
        if file.name != missing:
            (folder / file.name).write_bytes(file.read_bytes())
    if missing == "model.safetensors":
        (folder / "pytorch_model.bin").write_bytes(b"a pickle, which is never loaded")
    translator = marian(f"{tmp_path}/{{source}}-{{target}}")
    with pytest.raises(
        InputError, match=r"en-es: cannot be loaded \(.+\); expected safetensors and a tokenizer of a Marian"
    ):
        translator.translate(["What?"], "en", "es")


def test_random_weights_never_pass_for_a_model(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "en-es"
    folder.mkdir()
    for file in (models / "en-es").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    del weights["model.encoder.layers.1.fc1.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"en-es: has no weights for model.encoder.layers.1.fc1.weight; get it again"):
        marian(f"{tmp_path}/{{source}}-{{target}}").translate(["What?"], "en", "es")
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="en-es: cannot be loaded"):
        marian(f"{tmp_path}/{{source}}-{{target}}").translate(["What?"], "en", "es")


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(InputError, match=r"Org/none-en-xx at main: is neither a folder nor a model the hub gives out"):
        marian("Org/none-{source}-{target}").revision("en", "xx")
    commit = "0123456789abcdef0123456789abcdef01234567"
    pinned = marian("Org/none-{source}-{target}", revision=commit)
    with pytest.raises(InputError, match=r"Org/none-en-xx: cannot be loaded \(.+on the hub"):
        pinned.translate(["What?"], "en", "xx")
