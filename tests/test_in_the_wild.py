"""Files as people really have them: each is read as it was meant, or refused with its place and a cure."""

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from course_files import sonnet, write_table
from ruamel.yaml import YAML
from test_prepare import QUORA, REPOSITORY, project

from pipeline.commands.predict import read_records
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.stages import prepare
from pipeline.text.normalise import alike, cased
from pipeline.text.readers import from_roman, read_etpc, read_poems_with_prompts, read_qqp, read_sentiment

__all__ = ["project"]  # the fixture of all tests here: a folder with the course's files and params.yaml
RAW = Path("data/raw")
ETPC = (
    "<text_pair><pair_id>1</pair_id><sent1_raw>Café “x”</sent1_raw><sent2_raw>b</sent2_raw>"
    "<etpc_label>1</etpc_label></text_pair>"
)


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "utf8", "UTF-16", "no-such-encoding"])
def test_the_bytes_of_etpc_decide_not_what_they_declare(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "ETPC.xml"
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<xml>{ETPC}</xml>'
    path.write_text(text, encoding="utf-8")
    assert read_etpc(path, cased)[0][0].sentence1 == "Café “x”"
    path.write_bytes(text.replace("“x”", "").encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2, byte \d+: not UTF-8; save it as UTF-8 text"):
        read_etpc(path, cased)


def poem(number: int) -> list[str]:
    return [f"line {line} of poem {number}" for line in range(14)]


@pytest.mark.parametrize("heading", ["###{}###", "{}.", "Sonnet {}", "[{}]"])
def test_poems_under_any_numbers_are_found(tmp_path: Path, heading: str) -> None:
    path = tmp_path / "sonnets.txt"
    text = "".join(sonnet(number, poem(number)) for number in (1, 2))
    roman = sonnet(3, poem(3)).replace("3", "III", 1)
    path.write_text(text + roman + sonnet(4, poem(4)).replace("4", heading.format(4), 1))
    assert [found.id for found in read_poems_with_prompts(path)[0]] == [1, 2, 3, 4]


def test_poems_that_run_together_or_share_a_number_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sonnets.txt"
    path.write_text(sonnet(1, poem(1)) + "".join(sonnet(n, poem(n)).replace(str(n), f"* no {n} *", 1) for n in (2, 3)))
    with pytest.raises(InputError, match=r"sonnets.txt:1: sonnet 1 has 44 lines; expected a line with only its number"):
        read_poems_with_prompts(path)
    path.write_text(sonnet(1, poem(1)) + sonnet(1, poem(2)))
    with pytest.raises(InputError, match=r"sonnets.txt:18: another sonnet 1, with other lines"):
        read_poems_with_prompts(path)
    path.write_text(sonnet(1, poem(1)) * 2)
    found, counts = read_poems_with_prompts(path)
    assert len(found) == 1 and counts["dropped_duplicate"] == 1


def test_roman_numerals() -> None:
    assert [from_roman(numeral) for numeral in ("I", "IV", "IX", "XIV", "XL", "XCIX", "CLIV")] == [
        1, 4, 9, 14, 40, 99, 154,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [("it's", "it’s"), ('"so"', "“so”"), ("a-b", "a–b"), ("fine ſun", "ﬁne sun"), ("A  b", "a b"), ("'t", "´t")],
)
def test_texts_that_differ_in_typography_are_alike(one: str, other: str) -> None:
    assert alike(one) == alike(other)


def test_leaks_in_other_typography_are_found() -> None:
    train = (RAW / "sonnets.txt").read_text()
    dev = (RAW / "TRUE_sonnets_held_out_dev.txt").read_text().replace("The ", "THE  ’")
    prompts = (RAW / "sonnets_held_out_dev.txt").read_text().replace("The ", "The '")
    (RAW / "sonnets_held_out_dev.txt").write_text(prompts)
    (RAW / "TRUE_sonnets_held_out_dev.txt").write_text(dev.replace("THE  ’", "The '"))
    lines = dev.split("\n\n\n")[-1].split("\n", 1)[1]
    (RAW / "sonnets.txt").write_text(f"{train}\n\n900\n{lines}")
    rows = [[n, f"q{n}", f"Is {n} a number?", f"What is {n}'s name?", n % 2] for n in range(40)]
    write_table(RAW / "quora-train.csv", QUORA, [*rows, [99, "leak", "Who’s  there?", "Where ﬁnd it?", 1]])
    write_table(RAW / "quora-dev.csv", QUORA, [[0, "d0", "where find it?", "who's there?", 1], [1, "d1", "x", "y", 0]])
    prepare.main()
    figures = read_json(prepare.METRICS)
    assert figures["paraphrase"]["train"]["dropped_leak"] == 1
    assert figures["sonnets"]["train"]["dropped_leak"] == 1


def test_true_poems_under_other_numbers_are_told_by_prepare() -> None:
    path = RAW / "TRUE_sonnets_held_out_dev.txt"
    numbers = [line for line in path.read_text().splitlines() if line.isdigit()]
    text = path.read_text().replace(f"\n{numbers[0]}\n", "\n777\n").replace(f"\n{numbers[1]}\n", f"\n{numbers[0]}\n")
    path.write_text(text.replace("\n777\n", f"\n{numbers[1]}\n"))
    with pytest.raises(InputError, match=rf"sonnet {numbers[0]} does not begin as its prompt"):
        prepare.main()


def test_a_header_in_the_middle_is_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "quora.csv"
    rows = [[0, "a", "one", "two", 1.0], QUORA, [0, "b", "three", "four", 0.0]]
    write_table(path, QUORA, rows)
    pairs, counts = read_qqp(path, True, cased)
    assert [pair.id for pair in pairs] == ["a", "b"] and counts == {"raw_rows": 3, "dropped_header": 1}
    write_table(path, QUORA[:-1], [row[:-1] for row in rows])
    pairs, counts = read_qqp(path, False, cased)
    assert [pair.id for pair in pairs] == ["a", "b"] and counts == {"raw_rows": 3, "dropped_header": 1}


@pytest.mark.parametrize("labels", [[0.13, 0.5, 1.0, 0.92], [1, 2, 3, 4, 5], [-1, 1, -1, 1], ["pos", "neg", 1]])
def test_labels_of_another_scale_are_refused(tmp_path: Path, labels: list[object]) -> None:
    path = tmp_path / "sst.csv"
    write_table(path, ["id", "sentence", "sentiment"], [[n, f"text {n}", label] for n, label in enumerate(labels * 9)])
    with pytest.raises(InputError, match=r"have a sentiment such as .+; expected whole numbers from 0 to 4"):
        read_sentiment(path, True, 5, cased)


def test_what_cannot_run_without_the_other_corpora_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ETPC.xml", "ap-h-train.csv"):
        (RAW / name).unlink()
    prepare.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("without")]
    assert [line.split()[1] for line in lines] == ["ETPC.xml", "ap-h-train.csv"]
    names = {name for line in lines for name in line.partition("params.yaml: ")[2].split(", ")}
    assert names >= {"paraphrase.first_stages.etpc", "paraphrase.methods.etpc_transfer", "paraphrase.methods.mtan"}
    assert names >= {"training_sets.apt_human", "paraphrase.methods.apt_human"}
    yaml = YAML(typ="safe")
    params = yaml.load(Path("params.yaml"))
    for name in names:
        table = params
        for key in (keys := name.split("."))[:-1]:
            table = table[key]
        del table[keys[-1]]
    with open("params.yaml", "w") as file:
        yaml.dump(params, file)
    assert load_params().needing("etpc") == load_params().needing("ap_h") == []  # nothing else names what is gone


@pytest.mark.parametrize("name", ["quora-test-student.csv", "quora-dev.csv"])
def test_predict_reads_the_files_of_the_course(name: str) -> None:
    with open(RAW / name, encoding="utf-8", newline="") as file:
        wanted = [[row["sentence1"], row["id"]] for row in csv.DictReader(file, delimiter="\t")]
    assert read_records(RAW / name, ["sentence1", "id"]) == wanted
    found = read_records(RAW / "ids-sst-test-student.csv", ["text", "id"])
    assert len(found) == 20 and all(text.strip().startswith("The") for text, _ in found)


def test_a_copy_without_git_is_told_what_to_do(tmp_path: Path) -> None:
    subprocess.run(
        ["cp", "-r", *(REPOSITORY / name for name in ("dvc.yaml", "pipeline", ".dvc")), tmp_path], check=True
    )
    command: Callable[[], subprocess.CompletedProcess[str]] = lambda: subprocess.run(  # noqa: E731
        [sys.executable, "-m", "pipeline", "rows"], capture_output=True, text=True
    )
    first = command()
    assert first.returncode == 1 and "run `git init`, or `dvc config --local core.no_scm true`" in first.stderr
    assert "dvc.yaml" not in first.stderr and first.stderr.count("\n") == 1
    subprocess.run([sys.executable, "-m", "dvc", "config", "--local", "core.no_scm", "true"], check=True)
    assert "never run" in command().stdout
