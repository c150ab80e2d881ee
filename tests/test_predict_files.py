"""The files that `python -m pipeline predict` reads: any text comes back as it was, a bad row is one line."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.commands.predict import read_records
from pipeline.errors import InputError

PAIR = ("sentence1", "sentence2")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_give_back_any_text(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    path = tmp_path / "pairs"
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("sentence2", "sentence1"), *((second, first) for first, second in pairs)])
    path.write_text(f"\ufeff{buffer.getvalue()}", encoding="utf-8", newline="")
    assert read_records(path, PAIR) == [list(pair) for pair in pairs]
    objects = [json.dumps({"sentence1": first, "more": 1, "sentence2": second}) for first, second in pairs]
    path.write_text("\n\n".join(objects), encoding="utf-8", newline="")
    assert read_records(path, PAIR) == [list(pair) for pair in pairs]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows; expected CSV with the header sentence1,sentence2"),
        (b"sentence1,sentence2\n\n", "no rows; expected CSV with the header sentence1,sentence2"),
        (b"sentence1,other\na,b\n", ":2: sentence2 is missing; expected CSV with the header sentence1,sentence2"),
        (b"sentence1,sentence2\na,b\nc,d,e\n", ":3: more fields than the header has"),
        (b'sentence1,sentence2\na,"b\n', ": not valid after line 0 (unexpected end of data)"),
        (b"sentence1,sentence2\na,\xff\n", ":2: not UTF-8"),
        (b'{"sentence1": "a", "sentence2": "b"}\n{"sentence1": "a"}', ":2: sentence2 is missing; expected"),
        (b'{"sentence1": "a", "sentence2": 3}', ":1: sentence2 is missing"),
        (b'{"sentence1": "a"', ": not valid after line 0 ("),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "pairs"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_records(path, PAIR)
    assert str(caught.value).startswith(str(path))
