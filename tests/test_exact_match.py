"""Exact match: the marks against the sentences' own tokens, and a classifier that begins as the plain one."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_tokenizer, write_backbone
from tokenizers import Tokenizer, models, trainers

from pipeline.errors import InputError
from pipeline.models.classifier import Classifier, build_classifier, load_classifier, shared_tokens
from pipeline.objectives import cross_entropy
from pipeline.text.batches import collate
from pipeline.text.prepared import Pair
from pipeline.text.prompts import cloze_template, encode_pairs

TOKENIZER = tiny_tokenizer()
TEMPLATE = cloze_template(TOKENIZER)
VOCABULARY = ["How", "do", "I", "repair", "the", "old", "garden", "or", "no", "a", "Is"]
WORDS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=9)
QUESTIONS = WORDS.map(" ".join).flatmap(lambda text: st.sampled_from([text, f"{text}?", f'"{text}" ']))


def marks(prompts: list[list[int]]) -> list[list[bool]]:
    batch = collate([{"input_ids": prompt} for prompt in prompts])
    found = shared_tokens(batch["input_ids"], batch["lengths"], TEMPLATE)
    assert not found[torch.arange(found.shape[1]) >= batch["lengths"][:, None]].any()
    return [row[: len(prompt)].tolist() for row, prompt in zip(found, prompts, strict=True)]


def expected(prompt: list[int]) -> list[bool]:
    """By the places of the characters: the text of the prompt says where its sentences are."""
    text = TOKENIZER.decode(prompt)
    middle, end = text.index(" a paraphrase of"), text.rindex(' Answer "yes" or "no":')
    spans = TOKENIZER.encode(text).offsets
    first = [start >= len("Is") and stop <= middle for start, stop in spans]
    second = [start >= middle + len(" a paraphrase of") and stop <= end for start, stop in spans]
    sides = [{token for token, inside in zip(prompt, side, strict=True) if inside} for side in (first, second)]
    return [
        (one and token in sides[1]) or (two and token in sides[0])
        for token, one, two in zip(prompt, first, second, strict=True)
    ]


@given(st.lists(st.tuples(QUESTIONS, QUESTIONS), min_size=1, max_size=5))
def test_a_token_is_marked_if_the_other_sentence_has_it(texts: list[tuple[str, str]]) -> None:
    prompts = encode_pairs(TOKENIZER, [Pair("", *pair, 0) for pair in texts], 90)
    assert marks(prompts) == [expected(prompt) for prompt in prompts]


def test_marks_of_a_pair_by_hand() -> None:
    pair = Pair("", "How do I answer the garden?", "Do I answer the river or no garden?", 0)
    (prompt,) = encode_pairs(TOKENIZER, [pair], 90)
    (found,) = marks([prompt])
    words = [TOKENIZER.decode([token]).strip() for token, mark in zip(prompt, found, strict=True) if mark]
    assert "".join(words[: len(words) // 2]).replace('"', "") == "Ianswerthegarden"
    assert "".join(words[len(words) // 2 :]).replace('"', "") == "Ianswerthegarden"


def test_a_text_alone_has_no_marks() -> None:
    rows = [TOKENIZER.encode("How do I answer I answer").ids, TEMPLATE[1][:2], [5]]
    assert not any(sum(marks(rows), []))
    assert marks([[5]]) == [[False]]  # a batch of texts shorter than the template


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("models") / "backbone")


def built(backbone: Path, template: list[list[int]] | None) -> Classifier:
    torch.manual_seed(1)
    return build_classifier(backbone, 2, "mean", 0.0, 0.0, template=template)


def some_batch() -> dict[str, torch.Tensor]:
    pairs = [Pair("", "How do I repair it?", "What helps to repair it?", 1), Pair("", "Why?", "Who is it?", 0)]
    prompts = encode_pairs(TOKENIZER, pairs, 90)
    return collate([{"input_ids": prompt, "labels": pair.label} for prompt, pair in zip(prompts, pairs, strict=True)])


def test_it_begins_as_the_plain_classifier_and_the_mark_is_learnt_and_kept(backbone: Path, tmp_path: Path) -> None:
    model, batch = built(backbone, TEMPLATE), some_batch()
    arguments = batch["input_ids"], batch["lengths"]
    plain = built(backbone, None)(*arguments)
    assert torch.equal(model(*arguments), plain)
    cross_entropy.loss(model, batch, cross_entropy.Options(label_smoothing=0.0))[0].backward()
    assert model.exact_match.grad is not None and model.exact_match.grad.abs().min() > 0
    with torch.no_grad():
        model.exact_match += torch.linspace(-1, 1, 32)
        found = model.eval()(*arguments)
    assert (found - plain).abs()[0].min() > 1e-3  # the first pair shares words
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(load_classifier(tmp_path).eval()(*arguments), found)


def test_a_tokenizer_that_joins_words_of_the_prompt_is_refused() -> None:
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    tokenizer.train_from_iterator(['Is "?" a paraphrase of "?"? Answer "yes" or "no":'] * 9, trainer)
    with pytest.raises(InputError, match=r"exact_match: the backbone's tokenizer joins words of the prompt"):
        cloze_template(tokenizer)
