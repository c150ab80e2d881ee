"""The gates on tiny random checkpoints of the real architectures, against plain one-by-one forward passes.

A random model knows nothing about meaning; what is tested is that its numbers arrive unchanged by batches, padding,
order, truncation and label names. chrF is compared with sacrebleu.
"""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF
from tiny import write_backbone
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaTokenizer,
)

from pipeline.augment.gates import BLEURT, NLI, ChrF, ParaphraseClassifier
from pipeline.errors import InputError
from pipeline.models.classifier import Pooling, build_classifier
from pipeline.text import batches
from pipeline.text.prompts import CLOZE

WORDS = "how do I repair the old river camera when it is dull and lovely , or what helps ? a teacher the end".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
POSITIONS = 40
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def sentences(count: int, longest: int = 14, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(1, longest))) for _ in range(count)]


def some_pairs(count: int = 24) -> list[tuple[str, str]]:
    texts = sentences(2 * count)
    pairs = list(zip(texts[:count], texts[count:], strict=True))
    return [*pairs, (texts[0], " ".join(WORDS * 3)), (" ".join(WORDS * 3), texts[1]), ("", texts[2]), pairs[0]]


def word_pieces() -> BertTokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    return BertTokenizer(vocab=tokenizer.get_vocab(), model_max_length=POSITIONS)


def byte_pairs() -> RobertaTokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])


def write_nli(folder: Path, labels: list[str], seed: int = 0) -> Path:
    """A RoBERTa with the real one's offset of two positions, and a tokenizer that knows no longest length."""
    tokenizer = byte_pairs()
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS + 2,
        initializer_range=0.5,
        type_vocab_size=1,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        **SIZE,
    )
    torch.manual_seed(seed)
    RobertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_bleurt(folder: Path, num_labels: int = 1) -> Path:
    """A BERT with one output."""
    tokenizer = word_pieces()
    config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        initializer_range=0.5,
        num_labels=num_labels,
        **SIZE,
    )
    torch.manual_seed(1)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def one_by_one(folder: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Logits without padding or batches, through transformers' own classes."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return np.concatenate(
            [
                model(**tokenizer([first], [second], truncation=True, max_length=POSITIONS, return_tensors="pt")).logits
                for first, second in pairs
            ]
        )


@pytest.mark.parametrize(
    "labels",
    [
        ["entailment", "neutral", "contradiction"],
        ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"],
        ["not_entailment", "entail"],
    ],
)
def test_nli_is_the_probability_of_entailment(
    labels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_nli(tmp_path / "nli", labels)
    pairs = some_pairs()
    expected = torch.tensor(one_by_one(folder, pairs)).softmax(-1).numpy()
    expected = expected[:, [label.lower().startswith("entail") for label in labels].index(True)]
    assert expected.std() > 0.02  # the comparison is not one of constants
    monkeypatch.setattr(batches, "TOKENS_PER_BATCH", 150)  # several batches
    gate = NLI(str(folder))
    np.testing.assert_allclose(gate.score(pairs), expected, atol=1e-5)
    np.testing.assert_allclose(gate.score(pairs[::-1]), expected[::-1], atol=1e-5)
    turned = [(second, first) for first, second in pairs]
    assert np.abs(np.array(gate.score(turned)) - expected).max() > 0.01  # the direction matters


def test_labels_decide_which_logit_is_read(tmp_path: Path) -> None:
    """The same weights under two orders of the labels."""
    pairs = some_pairs(6)
    first = NLI(str(write_nli(tmp_path / "first", ["entailment", "neutral", "contradiction"])))
    last = NLI(str(write_nli(tmp_path / "last", ["contradiction", "neutral", "entailment"])))
    probabilities = torch.tensor(one_by_one(tmp_path / "first", pairs)).softmax(-1).numpy()
    np.testing.assert_allclose(first.score(pairs), probabilities[:, 0], atol=1e-5)
    np.testing.assert_allclose(last.score(pairs), probabilities[:, 2], atol=1e-5)


@pytest.mark.parametrize("labels", [["LABEL_0", "LABEL_1", "LABEL_2"], ["entailment", "entails", "other"]])
def test_labels_without_one_entailment_are_named(labels: list[str], tmp_path: Path) -> None:
    gate = NLI(str(write_nli(tmp_path / "nli", labels)))
    with pytest.raises(InputError, match=f"its labels are {', '.join(labels)}; choose an NLI model"):
        gate.score([("a", "b")])


def test_bleurt_is_the_regression_of_reference_and_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bleurt(tmp_path / "bleurt")
    pairs = some_pairs()
    expected = one_by_one(folder, pairs)[:, 0]
    assert expected.std() > 0.05
    monkeypatch.setattr(batches, "TOKENS_PER_BATCH", 150)
    gate = BLEURT(str(folder))
    np.testing.assert_allclose(gate.score(pairs), expected, rtol=1e-5, atol=2e-5)
    turned = [(second, first) for first, second in pairs]
    np.testing.assert_allclose(gate.score(turned), one_by_one(folder, turned)[:, 0], rtol=1e-5, atol=2e-5)


def test_bleurt_wants_a_regression(tmp_path: Path) -> None:
    gate = BLEURT(str(write_bleurt(tmp_path / "three", num_labels=3)))
    with pytest.raises(InputError, match="three: expected a regression with one output, it has 3"):
        gate.score([("a", "b")])


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    folder = write_bleurt(tmp_path / "bare")
    config = BertConfig.from_pretrained(folder)
    BertModel(config).save_pretrained(folder)
    with pytest.raises(InputError, match=r"bare: has no weights for classifier.bias, classifier.weight"):
        BLEURT(str(folder)).score([("a", "b")])


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    folder = write_bleurt(tmp_path / "pickled")
    torch.save(AutoModelForSequenceClassification.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="pickled: cannot be loaded .*safetensors"):
        BLEURT(str(folder)).score([("a", "b")])


@pytest.mark.parametrize("damage", ["model.safetensors", "config.json"])
def test_a_damaged_model_is_named(damage: str, tmp_path: Path) -> None:
    folder = write_bleurt(tmp_path / "damaged")
    content = (folder / damage).read_bytes()
    (folder / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged: cannot be loaded"):
        BLEURT(str(folder)).score([("a", "b")])


def test_a_hub_branch_is_scored_at_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's cache as a download leaves it: the commit behind `main` is what the scores are stored under."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--some--model"
    folder = write_bleurt(cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text(commit)
    gate = BLEURT("some/model", "main")
    assert gate.revision == BLEURT("some/model", commit).revision == f"some/model@{commit}"
    pairs = some_pairs(4)
    np.testing.assert_allclose(gate.score(pairs), one_by_one(folder, pairs)[:, 0], atol=1e-5)
    with pytest.raises(InputError, match="some/other at main: is neither a folder nor a model the hub gives out"):
        BLEURT("some/other", "main").score(pairs)


def test_a_folder_is_known_by_its_content(tmp_path: Path) -> None:
    folder = write_nli(tmp_path / "nli", ["entailment", "other"])
    shutil.copytree(folder, tmp_path / "copy")
    before = NLI(str(folder)).revision
    assert NLI(str(tmp_path / "copy")).revision == before
    (tmp_path / "copy/README.md").write_text("notes")
    assert NLI(str(tmp_path / "copy")).revision == before
    write_nli(tmp_path / "other", ["entailment", "other"], seed=5)
    assert NLI(str(tmp_path / "other")).revision != before
    write_nli(tmp_path / "named", ["other", "entailment"])
    assert NLI(str(tmp_path / "named")).revision != before


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_the_classifier_is_p_yes_in_the_given_order(pooling: Pooling, tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "row")
    torch.manual_seed(3)
    model = build_classifier(folder, 2, pooling, 0.1, head_dropout=0.5)
    torch.nn.init.normal_(model.score.weight, std=0.05)
    model.save_pretrained(folder)
    pairs = [(first[:25], second[:25]) for first, second in some_pairs(8)]
    gate = ParaphraseClassifier(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = []
    for pair in pairs:
        ids = torch.tensor([tokenizer.encode(CLOZE.format(*pair)).ids])
        assert ids.shape[1] <= model.config.n_positions
        with torch.no_grad():
            expected.append(model.eval()(ids, torch.tensor([ids.shape[1]])).softmax(-1)[0, 1].item())
    assert np.std(expected) > 0.01
    np.testing.assert_allclose(gate.score(pairs), expected, atol=1e-5)
    np.testing.assert_allclose(gate.score(pairs[::-1]), expected[::-1], atol=1e-5)


def test_a_folder_that_is_no_paraphrase_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row: no paraphrase model; run `dvc repro train_paraphrase@row`"):
        ParaphraseClassifier(tmp_path / "row")
    with pytest.raises(InputError, match="backbone: no paraphrase model"):
        ParaphraseClassifier(write_backbone(tmp_path / "backbone"))


@given(st.lists(st.tuples(st.text(max_size=25), st.text(max_size=25)), max_size=5))
def test_chrf_is_that_of_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    metric = CHRF(char_order=6, word_order=0, beta=2)
    expected = [metric.sentence_score(candidate, [reference]).score / 100 for reference, candidate in pairs]
    assert ChrF().score(pairs) == pytest.approx(expected, abs=1e-9)
    assert ChrF().score([("a b", "a b c d")]) != ChrF().score([("a b c d", "a b")])
