"""Generation of paraphrase candidates, the search over retries, verdicts and figures."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from small_project import contents
from tiny import TEXT, tiny_tokenizer, write_backbone
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast, T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from pipeline.augment import generator
from pipeline.augment.adversarial import (
    ADVERSARIAL,
    COPY,
    HARD_NEGATIVE,
    LABELS,
    ORDINARY,
    REPEATED,
    SEARCH,
    UNFINISHED,
    UNRELATED,
    Candidate,
    Gates,
    choose_questions,
    read_shards,
    search_figures,
    search_paraphrases,
)
from pipeline.augment.back_translation import BACK_TRANSLATIONS, BackTranslated, blocks_of
from pipeline.augment.generator import fetch_seq2seq, generate_once, open_generator
from pipeline.config.augmentation import Adversarial, Checkpoint, Sampling
from pipeline.config.base import check, parse
from pipeline.decoding.top_k import keep_top_k
from pipeline.errors import InputError
from pipeline.files import write_csv, write_json, write_jsonl
from pipeline.stages import generator as generator_stage
from pipeline.text.prepared import PREPARED, Pair, write_pairs
from pipeline.text.prompts import CLOZE

REPOSITORY, TRAIN = Path(__file__).parents[1], PREPARED / "paraphrase/train.csv"
SAMPLING = Sampling(candidates=3, top_k=50, top_p=0.95, retries=2, widen_top_k=20, widen_top_p=0.03, max_new_tokens=12)


def gates(meaning: dict[tuple[str, str], float], surface: dict[tuple[str, str], float]) -> Gates:
    def read(scores: dict[tuple[str, str], float]) -> object:
        return lambda pairs: [scores.get(pair, 0.0) for pair in pairs]

    return Gates(read(meaning), 0.5, read(surface), 0.5)  # type: ignore[arg-type]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_verdicts_are_the_papers_definition(forward: float, backward: float, surface: float) -> None:
    found = gates({}, {}).verdict(forward, backward, surface)
    mutual, alike = forward >= 0.5 and backward >= 0.5, surface >= 0.5
    assert (
        found
        == {
            (True, False): ADVERSARIAL,
            (True, True): ORDINARY,
            (False, True): HARD_NEGATIVE,
            (False, False): UNRELATED,
        }[mutual, alike]
    )
    assert LABELS.get(found) == (1 if mutual else 0 if alike else None)


def test_entailment_in_one_direction_is_not_enough() -> None:
    one_way = gates({("q", "c"): 0.9, ("c", "q"): 0.1}, {("q", "c"): 0.9, ("c", "q"): 0.9})
    (candidate,) = search_paraphrases(["q"], lambda questions, retry: [["c"]], "lm", 0, one_way, {})
    assert (candidate.verdict, candidate.meaning_forward, candidate.meaning_backward) == (HARD_NEGATIVE, 0.9, 0.1)


def test_surface_is_the_mean_of_both_directions() -> None:
    lopsided = gates({("q", "c"): 1, ("c", "q"): 1}, {("q", "c"): 0.9, ("c", "q"): 0.0})
    (candidate,) = search_paraphrases(["q"], lambda questions, retry: [["c"]], "lm", 0, lopsided, {})
    assert (candidate.verdict, candidate.surface) == (ADVERSARIAL, 0.45)


def test_only_questions_without_an_adversarial_paraphrase_are_tried_again() -> None:
    both = {pair: 1.0 for pair in (("easy", "e1"), ("e1", "easy"), ("hard", "h2"), ("h2", "hard"))}
    asked: list[tuple[list[str], int]] = []

    def generate(questions: Sequence[str], retry: int) -> list[list[str]]:
        asked.append((list(questions), retry))
        return [[f"{question[0]}{retry}"] for question in questions]

    found = search_paraphrases(["easy", "hard", "never"], generate, "lm", 3, gates(both, {}), {"easy": ["e1"]})
    assert asked == [
        (["hard", "never", "easy"] if asked[0][0][0] == "hard" else ["easy", "hard", "never"], 0),
        (["hard", "never"], 1),
        (["hard", "never"], 2),
        (["never"], 3),
    ]
    adversarial = [(row.question, row.origin, row.retry) for row in found if row.verdict == ADVERSARIAL]
    assert adversarial == [("easy", "back_translation", 0), ("hard", "lm", 2)]
    counts = search_figures(found, 3)
    assert counts["questions_with_adversarial"] == counts["adversarial"] == 2
    assert counts["origin_back_translation_scored"] == counts["origin_back_translation_adversarial"] == 1
    assert counts["retry_2_adversarial"] == 1 and counts["retry_3_scored"] == 1
    assert counts["candidates"] == len(found) == 1 + 3 + 2 + 2 + 1


def test_copies_repetitions_and_unfinished_candidates_are_not_scored() -> None:
    asked: list[tuple[str, str]] = []

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        asked.extend(pairs)
        return [0.0] * len(pairs)

    texts = ["how are you", "", "Well?", "well", "..."]
    found = search_paraphrases(["How are you?"], lambda q, r: [texts], "lm", 0, Gates(score, 0.5, score, 0.5), {})
    assert [row.verdict for row in found] == [COPY, UNFINISHED, UNRELATED, REPEATED, UNFINISHED]
    assert {frozenset(pair) for pair in asked} == {frozenset({"How are you?", "Well?"})}


@given(st.lists(st.lists(st.integers(-5, 5), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(1, 8))
def test_top_k_keeps_the_largest(rows: list[list[int]], k: int) -> None:
    logits = torch.tensor(rows, dtype=torch.float32)
    for row, kept in zip(logits, keep_top_k(logits, k), strict=True):
        smallest = row.sort(descending=True).values[:k][-1]
        assert torch.equal(kept.isfinite(), row >= smallest) and torch.equal(
            kept[kept.isfinite()], row[row >= smallest]
        )


def test_training_documents_are_positive_pairs_in_both_directions() -> None:
    documents = generator.training_documents([Pair("1", "a?", "b?", 1), Pair("2", "c?", "d?", 0)])
    assert documents == ['Is "a?" a paraphrase of "b?"', 'Is "b?" a paraphrase of "a?"']
    assert all(CLOZE.format("a?", "b?").startswith(text) for text in documents[:1])


@pytest.mark.parametrize(
    ("written", "expected"), [(' b?"', "b?"), ("b?", ""), ('he said "no"" ', 'he said "no"'), ("", ""), ('"', "")]
)
def test_a_candidate_ends_at_its_closing_quotation_mark(written: str, expected: str) -> None:
    assert generator.finished(written) == expected


def test_sampling_widens_with_every_retry() -> None:
    assert [generator.widened(SAMPLING, retry) for retry in range(3)] == [(50, 0.95), (70, 0.98), (90, 1.0)]


def test_a_candidate_does_not_depend_on_the_other_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "finished", str)  # random weights write no closing quotation mark
    model = open_generator(write_backbone(tmp_path / "generator"))
    assert isinstance(model, generator.LanguageModel)
    model.model.double()  # batches of another shape add up in another order
    questions = ["How do I repair the engine?", "What helps?", TEXT[2]]
    together = model.paraphrase(questions, SAMPLING, 0, seed=5)
    assert together == [model.paraphrase([question], SAMPLING, 0, seed=5)[0] for question in questions]
    assert [len(texts) for texts in together] == [3, 3, 3]
    assert model.paraphrase(questions, SAMPLING, 1, seed=5) != together != model.paraphrase(questions, SAMPLING, 0, 6)


def test_a_killed_search_reads_what_it_had_generated(tmp_path: Path) -> None:
    class Counting:
        name, calls = "lm", 0

        def paraphrase(self, questions: Sequence[str], sampling: Sampling, retry: int, seed: int) -> list[list[str]]:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return [[f"{question} {retry}"] for question in questions]

    blocks, model = [["q0", "q1"], ["q2"]], Counting()
    with pytest.raises(KeyboardInterrupt):
        [generate_once(block, 0, model, SAMPLING, 0, tmp_path) for block in blocks]  # type: ignore[arg-type]
    texts = [generate_once(block, 0, model, SAMPLING, 0, tmp_path) for block in blocks]  # type: ignore[arg-type]
    assert texts == [[["q0 0"], ["q1 0"]], [["q2 0"]]]
    assert model.calls == 2 + 1  # the first block was not generated again
    # Under another gate other questions are open: what was saved for these is not taken for theirs.
    assert generate_once(["q1"], 0, model, SAMPLING, 0, tmp_path) == [["q1 0"]]  # type: ignore[arg-type]


def test_parts_are_put_together_in_the_order_of_one_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    questions, given = [f"q{number}" for number in range(10)], {f"q{number}": [f"b{number}"] for number in (1, 4, 8)}
    solved = {pair: 1.0 for q, c in (("q1", "b1"), ("q3", "q3 0"), ("q8", "q8 1")) for pair in ((q, c), (c, q))}

    def find(some: Sequence[str]) -> list[Candidate]:
        generate = lambda open_questions, retry: [[f"{question} {retry}"] * 2 for question in open_questions]  # noqa: E731
        return search_paraphrases(some, generate, "lm", 2, gates(solved, {}), given)

    whole = find(questions)
    for shards in (1, 2, 3, 7):
        for shard in range(shards):
            part = [candidate for block in blocks_of(questions, 2, shard, shards) for candidate in find(block)]
            write_jsonl(SEARCH / str(shard) / "candidates.jsonl", [candidate._asdict() for candidate in part])
            write_json(SEARCH / str(shard) / "about.json", {})
        assert read_shards(range(shards), questions)[0] == whole


def test_questions_with_back_translations_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs(TRAIN, [Pair(str(number), f"a{number}", f"b{number}", 1) for number in range(20)])
    rows = [BackTranslated("1", "sentence1", 1, source, "c", "b", None, 0.5, "copy") for source in ("a3", "b7")]
    write_csv(BACK_TRANSLATIONS / "es/candidates.csv", BackTranslated._fields, rows)
    block = check(parse(REPOSITORY / "profiles/sample.yaml")["adversarial"], Adversarial, "adversarial")
    chosen, given = choose_questions(block.model_copy(update={"questions": 6}), seed=1)
    assert set(chosen[:2]) == {"a3", "b7"} and len(set(chosen)) == 6 and given == {"a3": ["c"], "b7": ["c"]}
    everything = block.model_copy(update={"questions": None, "back_translations": False})
    found, none = choose_questions(everything, seed=1)
    assert len(set(found)) == 40 and none == {} and found == choose_questions(everything, seed=1)[0]


def write_seq2seq(folder: Path, kind: str) -> Path:
    """A tiny random T5 or BART with a word-level tokenizer of its own."""
    words = "<pad> </s> <unk> <s> how do i repair the garden engine what helps to paint old rivers".split()
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    ).save_pretrained(folder)
    ids = {"vocab_size": len(words), "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    torch.manual_seed(1)
    if kind == "t5":
        t5 = T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, **ids)
        T5ForConditionalGeneration(t5).save_pretrained(folder)
    else:
        sizes = {f"{part}_{size}": 2 for part in ("encoder", "decoder") for size in ("layers", "attention_heads")}
        bart = BartConfig(d_model=16, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64,
                          bos_token_id=3, forced_eos_token_id=None, **sizes, **ids)  # fmt: skip
        BartForConditionalGeneration(bart).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_a_seq2seq_paraphraser_is_fetched_and_samples(tmp_path: Path, kind: str) -> None:
    source = write_seq2seq(tmp_path / "source", kind)
    (tmp_path / "generator").mkdir()
    fetch_seq2seq(Checkpoint(name=str(source), revision="main"), tmp_path / "generator")
    model = open_generator(tmp_path / "generator")
    assert isinstance(model, generator.Seq2Seq)
    questions = ["how do i repair the engine", "what helps"]
    first = model.paraphrase(questions, SAMPLING, 0, seed=5)
    assert first == model.paraphrase(questions, SAMPLING, 0, seed=5) != model.paraphrase(questions, SAMPLING, 0, seed=6)
    assert [len(texts) for texts in first] == [3, 3]
    assert not any("<" in text for texts in first for text in texts)


def test_the_backbone_as_it_is_writes_without_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = YAML(typ="safe").load(REPOSITORY / "profiles/sample.yaml")
    params["adversarial"]["generator"]["kind"] = "backbone"
    with open("params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    write_backbone(Path("models/backbone"))
    generator_stage.main()
    assert contents(Path("models/backbone")) == contents(Path("models/generator"))
    assert not list(Path("plots/curves/generator").iterdir())
    found = open_generator(Path("models/generator")).paraphrase(["how do i repair the engine"], SAMPLING, 0, seed=5)
    assert [len(texts) for texts in found] == [SAMPLING.candidates]


def test_a_seq2seq_paraphraser_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adversarial\.generator\.seq2seq: .*nowhere at main: cannot be loaded"):
        fetch_seq2seq(Checkpoint(name=str(tmp_path / "nowhere"), revision="main"), tmp_path)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    source = write_seq2seq(tmp_path / "source", "t5")
    weights = T5ForConditionalGeneration.from_pretrained(source).state_dict()
    (source / "model.safetensors").unlink()
    torch.save(weights, source / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        fetch_seq2seq(Checkpoint(name=str(source), revision="main"), tmp_path)


def test_tiny_tokenizer_splits_before_the_quotation_mark() -> None:
    # The prompt must end where the training documents have a token boundary.
    prompt = tiny_tokenizer().encode(f"{generator.BEFORE}How do I{generator.BETWEEN}").ids
    document = tiny_tokenizer().encode(generator.training_documents([Pair("1", "How do I", "What helps", 1)])[0]).ids
    assert document[: len(prompt)] == prompt


def test_a_candidate_is_one_line() -> None:
    # csv writes a bare carriage return unquoted, and such a row could not be read again.
    closing = generator.CLOSING
    assert generator.finished(f" How\rold\t is\nit?{closing}") == "How old is it?"
    assert generator.finished("How old is it?") == ""
