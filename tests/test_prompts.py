"""Prompts: they fit, they keep the whole question, and padding and packing lose nothing that they should not."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny import END, TEXT, tiny_tokenizer

from pipeline.errors import InputError
from pipeline.text.batches import collate
from pipeline.text.prepared import Pair
from pipeline.text.prompts import CLOZE, encode_documents, encode_pairs, encode_texts, encode_views, pack

TOKENIZER = tiny_tokenizer()
EMPTY = len(TOKENIZER.encode(CLOZE.format("", "")).ids)
QUESTION = '? Answer "yes" or "no":'
EMOJI = "\N{GRINNING FACE}\N{FAMILY}\N{HEAVY BLACK HEART}\ufe0f\u200d"
# Any text that can be in a UTF-8 file, with more of what goes wrong: quotes, line breaks, emoji, combining marks.
CHARACTERS = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(f"\"'?.,\n\r\t \ufffd\u0301{EMOJI}"))
UNICODE = st.text(CHARACTERS, max_size=80)
WORDS = st.lists(st.sampled_from("garden river camera engine teacher story".split()), min_size=12, max_size=60)
IDS = st.lists(st.integers(1, 300), max_size=20)


def prompt(first: str, second: str, max_length: int) -> list[int]:
    return encode_pairs(TOKENIZER, [Pair("0", first, second, None)], max_length)[0]


def decode(ids: list[int]) -> str:
    return TOKENIZER.decode(ids, skip_special_tokens=False)


def test_the_prompt_is_the_reports_prompt_without_its_trailing_space() -> None:
    expected = 'Is "Why?" a paraphrase of "How so?"? Answer "yes" or "no":'
    assert decode(prompt("Why?", "How so?", 512)) == expected


@settings(max_examples=150, deadline=None)
@given(UNICODE, UNICODE, st.integers(EMPTY + 8, EMPTY + 70))
@example("\N{GRINNING FACE}" * 60, "\u4e2d" * 60, EMPTY + 9)
@example('"' * 90, "?" * 90, EMPTY + 8)
@example("\n" * 90, " " * 90, EMPTY + 8)
@example("", "x" * 90, EMPTY + 8)
def test_every_prompt_fits_and_ends_with_the_whole_question(first: str, second: str, max_length: int) -> None:
    ids = prompt(first, second, max_length)
    assert len(ids) <= max_length
    assert decode(ids).startswith('Is "')
    assert decode(ids).endswith(f'"{QUESTION}')
    plain = TOKENIZER.encode(CLOZE.format(first, second)).ids
    if len(plain) <= max_length:
        assert ids == plain


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS, st.integers(EMPTY + 12, EMPTY + 40))
def test_a_long_pair_keeps_the_beginning_of_both_sentences(a: list[str], b: list[str], max_length: int) -> None:
    first, second = " ".join(a), " ".join(b)
    ids = prompt(first, second, max_length)
    left, right = decode(ids).removeprefix('Is "').removesuffix(f'"{QUESTION}').split('" a paraphrase of "')
    assert left and right
    assert first.startswith(left) and second.startswith(right)
    if len(TOKENIZER.encode(CLOZE.format(first, second)).ids) > max_length:
        assert len(ids) >= max_length - 3  # the room is used
        kept = [len(TOKENIZER.encode(text).ids) for text in (left, right)]
        lost = [len(TOKENIZER.encode(text).ids) - count for text, count in zip((first, second), kept, strict=True)]
        if min(lost) > 0:
            assert abs(kept[0] - kept[1]) <= 3  # the longer one is cut first


def test_a_short_sentence_stays_whole_beside_a_long_one() -> None:
    long = "How do I repair the red garden engine " * 20
    for first, second in (("Why so?", long), (long, "Why so?")):
        ids = prompt(first, second, EMPTY + 30)
        assert EMPTY + 27 <= len(ids) <= EMPTY + 30
        assert '"Why so?"' in decode(ids)


def test_cut_characters_leave_no_debris() -> None:
    for max_length in range(EMPTY + 10, EMPTY + 30):
        assert "\ufffd" not in decode(prompt("\N{GRINNING FACE}" * 30, "na\u00efve \u4e2d\u6587 " * 30, max_length))


@pytest.mark.parametrize("max_length", [1, EMPTY - 1, EMPTY + 1])
def test_no_room_for_the_question_is_an_input_error(max_length: int) -> None:
    with pytest.raises(InputError, match=rf"max_length {max_length} leaves no room for the question") as caught:
        prompt(TEXT[2], TEXT[2], max_length)
    assert "\n" not in str(caught.value)


@given(st.lists(UNICODE, max_size=5), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_texts_are_cut_at_their_end(texts: list[str], max_length: int) -> None:
    expected = [TOKENIZER.encode(text).ids[:max_length] for text in texts]
    assert encode_texts(TOKENIZER, texts, max_length) == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@settings(max_examples=40, deadline=None)
def test_documents_lie_between_two_end_of_text_tokens(text: str) -> None:
    plain, end = TOKENIZER.encode(text).ids, TOKENIZER.token_to_id(END)
    assert encode_documents(TOKENIZER, [text, text], 1000) == [[end, *plain, end]] * 2
    cut = encode_documents(TOKENIZER, [text], len(plain) + 1)[0]
    assert cut == [end, *plain]  # a cut poem is not taught to end there


@given(st.lists(IDS, max_size=12), st.integers(1, 9))
def test_packing_loses_only_the_incomplete_tail(documents: list[list[int]], block: int) -> None:
    blocks = list(pack(iter(documents), block))
    everything = [token for document in documents for token in document]
    assert all(len(ids) == block for ids in blocks)
    assert [token for ids in blocks for token in ids] == everything[: len(everything) // block * block]


@given(st.lists(IDS.filter(bool), min_size=1, max_size=8))
def test_collate_pads_on_the_right(rows: list[list[int]]) -> None:
    batch = collate([{"input_ids": row, "labels": index} for index, row in enumerate(rows)])
    longest = max(map(len, rows))
    assert {name: str(value.dtype) for name, value in batch.items()} == dict.fromkeys(batch, "torch.int64")
    assert batch["input_ids"].tolist() == [row + [0] * (longest - len(row)) for row in rows]
    assert batch["lengths"].tolist() == [len(row) for row in rows]
    assert batch["labels"].tolist() == list(range(len(rows)))
    assert set(collate([{"input_ids": row} for row in rows])) == {"input_ids", "lengths"}


def test_the_report_lower_cases_splits_off_and_cuts_at_the_right() -> None:
    pairs = [Pair("0", "Why's THIS?", "How so, then.", None)]
    (whole,) = encode_pairs(TOKENIZER, pairs, 512, "report")
    assert decode(whole) == 'Is "why \'s this ?" a paraphrase of "how so , then ."? Answer "yes" or "no": '
    assert encode_pairs(TOKENIZER, pairs, 20, "report") == [whole[:20]]
    views = encode_views(TOKENIZER, pairs, ["first", "second", "swapped"], 512, "report")
    assert decode(views["first"][0]) == "why 's this ?" and decode(views["second"][0]) == "how so , then ."
    assert decode(views["swapped"][0]).startswith('Is "how so , then ." a paraphrase of "why \'s this ?"')
