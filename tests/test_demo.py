"""`python -m pipeline demo`: what the model as it came would answer, what the tuned one does, and a sonnet."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_project import REPOSITORY
from tiny import TEXT, write_backbone, write_prepared
from transformers import AutoModelForCausalLM

from pipeline.__main__ import main
from pipeline.evaluation.predictions import write_predictions
from pipeline.files import write_jsonl
from pipeline.text.prepared import read_pairs
from pipeline.text.prompts import CLOZE, load_tokenizer
from pipeline.training.pretrain import train_tokenizer


def test_ten_pairs_before_and_after_and_a_poem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((REPOSITORY / "profiles/demo.yaml").read_text().replace("bf16 ", "fp32 ", 1))
    backbone, prepared = write_backbone(Path("models/backbone")), write_prepared(Path("data/prepared"))
    train_tokenizer([" no yes", *TEXT] * 9, 400).save(str(backbone / "tokenizer.json"))  # with both answers as tokens
    pairs = read_pairs(prepared / "paraphrase/dev.csv")
    tuned = np.random.default_rng(0).dirichlet([1, 1], len(pairs))
    table = Path("predictions/paraphrase/cloze_head")
    write_predictions(table, "dev", [pair.id for pair in pairs], [pair.label for pair in pairs], tuned, "Answer")
    poem = f"{TEXT[3]}\nAnd so it ends"
    write_jsonl(
        Path("predictions/sonnets/verse/dev.jsonl"), [{"id": 1, "draw": 0, "prompt": TEXT[3], "text": poem, "nll": 1.0}]
    )
    main(["demo"])
    printed = capsys.readouterr().out
    assert poem in printed
    found = re.findall(r"^ +(0\.\d\d) +(0\.\d\d) +(yes|no) ", printed, re.MULTILINE)
    tokenizer, model = load_tokenizer(backbone), AutoModelForCausalLM.from_pretrained(backbone).eval()
    answers, expected = [tokenizer.token_to_id(f"\u0120{answer}") for answer in ("no", "yes")], []  # U+0120: a space
    for pair, probabilities in zip(pairs[:10], tuned, strict=False):
        ids = torch.tensor([tokenizer.encode(CLOZE.format(pair.sentence1, pair.sentence2)).ids])
        with torch.no_grad():
            untuned = model(ids).logits[0, -1, answers].softmax(-1)[1].item()
        expected.append((f"{untuned:.2f}", f"{probabilities[1]:.2f}", ("no", "yes")[pair.label or 0]))
    assert found == expected
