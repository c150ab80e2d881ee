"""The readers take the files as they are: every drop is counted, nothing else is lost."""

import csv
import io
from pathlib import Path

import pytest
from course_files import sonnet, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.text.normalise import cased, clean, clean_line, course
from pipeline.text.prepared import Pair, Poem, Sentence, read_pairs, write_pairs
from pipeline.text.readers import (
    read_ap_h,
    read_etpc,
    read_plays,
    read_poems_with_prompts,
    read_prompts,
    read_qqp,
    read_sentiment,
    read_table,
)

HEADER = "\tid\tsentence1\tsentence2\tis_duplicate"
ROW = "{0}\tid{0}\tfirst {0}\tsecond {0}\t1.0"


def qqp(tmp_path: Path, *lines: str, end: str = "\n", encoding: str = "utf-8") -> tuple[list[Pair], dict[str, int]]:
    path = tmp_path / "quora-train.csv"
    path.write_bytes((end.join([HEADER, *lines]) + end).encode(encoding))
    pairs, counts = read_qqp(path, True, cased)
    return pairs, dict(counts)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, end: str, encoding: str) -> None:
    pairs, counts = qqp(tmp_path, ROW.format(1), ROW.format(2), end=end, encoding=encoding)
    assert pairs == [Pair("id1", "first 1", "second 1", 1), Pair("id2", "first 2", "second 2", 1)]
    assert counts == {"raw_rows": 2}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("1\tid\tonly two", "field_count"),
        ("1\tid\ta\tb\t1.0\textra", "field_count"),
        ("1\tid\ta\tb\t7", "label"),
        ("1\tid\ta\tb\t0.5", "label"),
        ("1\tid\ta\tb\tnan", "label"),
        ("1\tid\ta\tb\t", "label"),
        ("1\tid\t\tb\t1.0", "empty_text"),
        ("1\tid\ta\t \t1.0", "empty_text"),
        ("1\tid\ta\0b\tb\t1.0", "nul_byte"),
        (f"1\tid\t{'x' * 100_001}\tb\t1.0", "long_field"),
        (f'1\tid\t"{"x" * 2_000_000}"\tb\t1.0', "quoting"),
        ('1\tid\t"never closed\tb\t1.0', "quoting"),
        ('1\tid\t"closed" too early\tb\t1.0', "quoting"),
    ],
)
def test_a_bad_row_costs_one_row(tmp_path: Path, bad: str, reason: str) -> None:
    good = [ROW.format(number) for number in range(2, 40)]
    good[20] = '22\tid22\t"a ""quoted"" one"\t"with a\nnew line and a 5"" disk"\t0.0'
    pairs, counts = qqp(tmp_path, ROW.format(0), bad, *good)
    assert len(pairs) == 39
    assert pairs[21] == Pair("id22", 'a "quoted" one', 'with a new line and a 5" disk', 0)
    assert counts == {"raw_rows": 40, f"dropped_{reason}": 1}


def test_literal_quotes_inside_an_unquoted_field(tmp_path: Path) -> None:
    pairs, counts = qqp(tmp_path, '1\tid1\ta 5" disk\tno "such" thing\t0', ROW.format(2))
    assert pairs[0] == Pair("id1", 'a 5" disk', 'no "such" thing', 0)
    assert counts == {"raw_rows": 2}


def test_an_open_quote_closed_by_a_later_row_does_not_swallow_the_rows_between(tmp_path: Path) -> None:
    rows = ['1\tid1\t"open\tb\t1.0', *[ROW.format(n) for n in range(2, 9)], '9\tid9\tends with"\tb\t1.0']
    pairs, counts = qqp(tmp_path, *rows)
    assert [pair.id for pair in pairs] == [f"id{n}" for n in range(2, 10)]
    assert counts == {"raw_rows": 9, "dropped_quoting": 1}


def test_ids_are_made_unique(tmp_path: Path) -> None:
    rows = ["1\tsame\ta\tb\t1", "2\tsame\tc\td\t1", "3\t\te\tf\t1"]
    pairs, counts = qqp(tmp_path, *rows)
    assert [pair.id for pair in pairs] == ["same", "same-3", "row-4"]
    assert counts == {"raw_rows": 3, "renamed_ids": 1, "generated_ids": 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"\n\n \n", "empty"),
        (HEADER.encode(), "no usable row"),
        (b"\tid\tsentence1\tsentence2\n", "column is_duplicate is missing"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "line 1, byte 0"),
        ("\tid\tsentence1".encode("utf-16"), "UTF-16"),
        ("\tid\tsentence1".encode("utf-16-le"), "UTF-16"),
        (HEADER.encode() + b"\n1\tid\tcaf\xe9\tb\t1\n", "line 2, byte 45"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "quora-train.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as error:
        read_qqp(path, True, cased)
    assert "quora-train.csv" in str(error.value)


def test_the_test_files_of_sentiment_have_a_shifted_header(tmp_path: Path) -> None:
    path = tmp_path / "ids-sst-test-student.csv"
    path.write_text("0\t\tid\tsentence\n1\t0.0\tb75\t Effective but tepid\n")
    assert read_sentiment(path, False, 5, cased)[0] == [Sentence("b75", "Effective but tepid", None)]


def test_ap_h_has_no_ids_and_some_empty_sentences(tmp_path: Path) -> None:
    path = tmp_path / "ap-h-train.csv"
    path.write_bytes(b'sentence1,sentence2,label\r\n"One, two",three,1\r\nfour,,0\r\n')
    pairs, counts = read_ap_h(path, cased)
    assert pairs == [Pair("row-2", "One, two", "three", 1)]
    assert counts == {"raw_rows": 2, "dropped_empty_text": 1}


def test_etpc(tmp_path: Path) -> None:
    path = tmp_path / "ETPC.xml"
    pair = (
        "<text_pair><pair_id>{}</pair_id><sent1_raw>{}</sent1_raw><sent2_raw>b</sent2_raw>"
        "<etpc_label>{}</etpc_label></text_pair>"
    )
    body = pair.format(1, "AT&amp;T\x12s", 1) + pair.format(2, "", 1) + pair.format(3, "c", 4) + "<text_pair/>"
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<xml>{body}</xml>')
    pairs, counts = read_etpc(path, cased)
    assert pairs == [Pair("1", "AT&Ts", "b", 1)]
    assert counts == {"raw_rows": 4, "dropped_empty_text": 2, "dropped_label": 1}


def test_sonnets(tmp_path: Path) -> None:
    path = tmp_path / "sonnets.txt"
    whole = [f"line {number}" for number in range(14)]
    text = "Sonnets\nby Nobody\n\n\n" + sonnet(1, whole) + sonnet(99, [*whole, "15th"]) + sonnet(7, whole[:2]) + "8\n\n"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    poems, counts = read_poems_with_prompts(path)
    assert poems[0] == Poem(1, "line 0\nline 1\nline 2", "\n".join(whole))
    assert [poem.id for poem in poems] == [1, 99]
    assert counts == {"raw_rows": 4, "not_14_lines": 2, "dropped_too_short": 1, "dropped_empty_text": 1}


def test_prompts_without_a_line_end_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "held_out.txt"
    path.write_text("145\n\none,\n two\nthree")
    assert read_prompts(path)[0] == [Poem(145, "one,\ntwo\nthree", None)]


def test_plays_are_cut_at_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "plays.txt"
    path.write_text("".join(f"  SPEAKER {n}.  \r\nWords.\r\n\r\n" for n in range(100)), newline="")
    documents = read_plays(path)
    assert documents[0].startswith("  SPEAKER 0.\nWords.\n\n  SPEAKER 1.")
    assert all(70 <= len(document.split("\n")) <= 90 for document in documents[:-1])
    assert sum(document.count("SPEAKER") for document in documents) == 100


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            '""" I vaguely remember "" "" Ben "" "" and that is it . """',
            '" I vaguely remember " Ben " and that is it . "',
        ),
        ('" """""" Only one . """""""', '" Only one . "'),
        ('"Do I need ""the"" here?"', 'Do I need "the" here?'),
        ('"He said ""yes"" ""no"""', 'He said "yes" "no"'),
        ('"yes" "no"', '"yes" "no"'),
        ('"A whole quotation."', '"A whole quotation."'),
        ("a\u00a0\t b\x07c\u0065\u0301", "a bc\u00e9"),
    ],
)
def test_cased(raw: str, expected: str) -> None:
    assert cased(raw) == expected


def test_course() -> None:
    assert course("  It's A test, isn't it? Yes.") == "it 's a test , isn 't it ? yes ."


def test_the_last_line_of_a_quoted_field_may_look_like_a_row(tmp_path: Path) -> None:
    pairs, counts = qqp(tmp_path, '"3"\t"id3"\t"first\n9\tx\ty"\t"second"\t"1"', ROW.format(4))
    assert pairs == [Pair("id3", "first 9 x y", "second", 1), Pair("id4", "first 4", "second 4", 1)]
    assert counts == {"raw_rows": 2}


TEXT = st.text(st.one_of(st.sampled_from('""\' .,?\t\r\n\0\u0301\u0130'), st.characters(exclude_categories=["Cs"])))


@given(TEXT)
def test_normalising_twice_changes_nothing(text: str) -> None:
    for normalise in (clean, clean_line, cased, course):
        once = normalise(text)
        assert normalise(once) == once


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), st.sampled_from("\t,"))
def test_any_text_survives_csv_quoting(tmp_path_factory: pytest.TempPathFactory, rows: list, delimiter: str) -> None:
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    # Several columns, because a text that holds a whole row between two line ends is taken for one.
    writer.writerows([["a", "b", "c", "d", "e", "n"], *[[first, second, "", "", "", 1] for first, second in rows]])
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    table, counts = read_table(path, ["a", "b"], numeric="n")
    kept = [row for row in rows if "\0" not in row[0] + row[1]]
    assert [(clean(row["a"]), clean(row["b"])) for _, row in table] == [(clean(a), clean(b)) for a, b in kept]
    assert counts["raw_rows"] == len(rows) == len(kept) + counts["dropped_nul_byte"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT.map(clean), TEXT.map(clean)), max_size=5))
def test_prepared_files_give_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    pairs = [Pair(str(index), first, second, index % 2) for index, (first, second) in enumerate(rows)]
    path = tmp_path_factory.mktemp("pairs") / "train.csv"
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs


def test_write_table_is_what_the_readers_read(tmp_path: Path) -> None:
    path = tmp_path / "quora-dev.csv"
    write_table(path, ["", "id", "sentence1", "sentence2", "is_duplicate"], [[0, "x", 'say "hi"', "a\tb", 1.0]])
    assert read_qqp(path, True, cased)[0] == [Pair("x", 'say "hi"', "a b", 1)]
