"""What a poem may not do, as tokens banned before each choice: end early, break a line too soon or too late, copy."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

from pipeline.config.sonnet import System
from pipeline.text.prepared import SONNET_LINES, words_of
from pipeline.text.prompts import end_of_text, plain_ids


def ban_repeated(logits: Tensor, texts: Sequence[list[int]], order: int) -> Tensor:
    """Logits (rows, vocabulary) with minus infinity for each token that would repeat an n-gram of its text.

    A row in which no other token is left keeps its logits: something must be written. Order 0 allows all.
    """
    if not order:
        return logits
    banned: Tensor = NoRepeatNGramLogitsProcessor(order)(_padded(logits, texts), logits)
    return banned.where(banned.amax(1, keepdim=True) > -torch.inf, logits)


def penalised(logits: Tensor, texts: Sequence[list[int]], penalty: float, spared: Sequence[int]) -> Tensor:
    """Logits (rows, vocabulary), of each token that its text holds divided by `penalty` or, negative ones, multiplied.

    Keskar et al. 2019, https://arxiv.org/abs/1909.05858, states the positive case only. `spared` tokens keep theirs:
    what ends a line or a text must be written again.
    """
    lowered: Tensor = RepetitionPenaltyLogitsProcessor(penalty)(_padded(logits, texts), logits)
    lowered[:, spared] = logits[:, spared]
    return lowered


def _padded(logits: Tensor, texts: Sequence[list[int]]) -> Tensor:
    """Texts (rows, longest), padded on the left with a token that no vocabulary has and transformers does not count."""
    return pad_sequence([torch.tensor(text) for text in texts], True, logits.shape[1], "left").to(logits.device)


class Constraints:
    """The bans of one system; see pipeline/config/sonnet.py. `lines` gives those of the training poems.

    With `exact_lines` no line is blank either. (The decoders end a poem with its 14th line at the latest.)
    """

    def __init__(self, tokenizer: Tokenizer, lines: Callable[[], Sequence[str]], system: System) -> None:
        self.tokenizer, self.exact_lines, self.end = tokenizer, system.exact_lines, end_of_text(tokenizer)
        self.pieces = [visible(tokenizer.decode([token])) for token in range(tokenizer.get_vocab_size())]
        self.breaks = [piece.count("\n") for piece in self.pieces]
        # After the last line break nothing of a longer piece may follow unseen: only pure line breaks are used.
        self.breaking = [token for token, count in enumerate(self.breaks) if count]
        self.line_break = [token for token in self.breaking if self.pieces[token] == "\n"]
        words = system.no_copy_words
        known = lines() if system.line_length or words else []
        lengths = list(map(len, plain_ids(tokenizer, known))) if system.line_length else []
        self.shortest, self.longest = min(lengths, default=0), max(lengths, default=math.inf)
        self.copying = Copying(known, words, self.pieces) if words else None

    def __call__(self, logits: Tensor, texts: Sequence[list[int]]) -> Tensor:
        """Logits (rows, vocabulary) with minus infinity for what is banned after each text."""
        allowed = logits.clone()
        for row, text in enumerate(texts):
            start = next((place for place in range(len(text), 0, -1) if self.breaks[text[place - 1]]), 0)
            line = [token for token in text[start:] if token != self.end]
            so_far = visible(self.tokenizer.decode(line)) if line else ""
            last = sum(map(self.breaks.__getitem__, text)) == SONNET_LINES - 1
            blank = not so_far.strip()
            if len(line) >= self.longest and not (blank and self.exact_lines):
                kept = [*self.line_break, self.end]
                allowed[row] = -torch.inf
                allowed[row, kept] = logits[row, kept]
            if self.exact_lines and blank:
                allowed[row, self.breaking] = -torch.inf
            elif self.exact_lines or self.shortest:
                allowed[row, [token for token in self.breaking if token not in self.line_break]] = -torch.inf
            if len(line) < self.shortest:
                allowed[row, self.breaking] = -torch.inf
            if (self.exact_lines and (blank or not last)) or 0 < len(line) < self.shortest:
                allowed[row, self.end] = -torch.inf
            if self.copying:
                allowed[row, self.copying.banned(so_far)] = -torch.inf
        return allowed


class Copying:
    """Tokens that would make the last words of a line, its unfinished one included, a run of a training line."""

    def __init__(self, lines: Sequence[str], words: int, pieces: Sequence[str]) -> None:
        self.words, self.pieces = words, pieces
        self.following: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for found in map(words_of, lines):
            for *run, word in zip(*(found[start:] for start in range(words + 1)), strict=False):
                self.following[tuple(run)].add(word)
        self.spelled: dict[str, list[int]] = defaultdict(list)
        for token, piece in enumerate(pieces):
            self.spelled[piece.strip().lower().replace("\u2019", "'")].append(token)

    def banned(self, line: str) -> list[int]:
        """The tokens after which `line` would end with a run of `words` + 1 words of a training line."""
        found, banned = words_of(line), []
        # A new word, or a longer last one.
        for run in {tuple(found[-self.words :]), tuple(found[-self.words - 1 : -1])}:
            for word in self.following.get(run, ()):
                ends = [token for start in range(len(word)) for token in self.spelled.get(word[start:], ())]
                copies = [*run, word]
                banned += [end for end in ends if words_of(line + self.pieces[end])[-self.words - 1 :] == copies]
        return banned


def visible(text: str) -> str:
    """Without control characters other than line breaks, and without the marks of broken UTF-8."""
    return "".join(char for char in text if char == "\n" or (char.isprintable() and char != "\ufffd"))
