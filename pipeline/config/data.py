"""Blocks `data` (where the raw files come from) and `text` (how they are read)."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Block


class Data(Block):
    """Where the raw files come from: a folder in the course layout, or a manifest (.yaml) of files to download."""

    path: str = Field(min_length=1)


class SelectShare(Block):
    """Share of each training file that is carved out for model selection."""

    sst: float = Field(gt=0, lt=0.9)
    cfimdb: float = Field(gt=0, lt=0.9)
    paraphrase: float = Field(gt=0, lt=0.9)
    sonnets: float = Field(gt=0, lt=0.9)


class HeldOut(Block):
    """Share of a training file that is held out to test on, where there is no other file to do so."""

    ap_h: float = Field(gt=0, lt=0.9)


class TrainRows(Block):
    """Upper bound on the rows kept of each training file before `select` is carved out; null keeps all."""

    sst: int | None = Field(ge=10)
    cfimdb: int | None = Field(ge=10)
    paraphrase: int | None = Field(ge=10)


class Text(Block):
    """How raw text is normalised and split.

    `style: cased` keeps the text (Unicode NFC, white space collapsed); `course` also lower-cases it and splits off
    `. ? , '` as the course's code does.
    """

    style: Literal["cased", "course"]
    select: SelectShare
    held_out: HeldOut
    train_rows: TrainRows
