"""A backbone from scratch: tokenizer and GPT-2 trained on the prepared text."""

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.data import Corpus, Scratch
from pipeline.errors import InputError
from pipeline.files import read_jsonl
from pipeline.models.backbone import GELU
from pipeline.objectives import language_model
from pipeline.text.prepared import read_pairs, read_poems, read_sentences
from pipeline.text.prompts import CLOZE, END_OF_TEXT, end_of_text, pack
from pipeline.training.loop import Rows
from pipeline.training.run import Run


def from_scratch(scratch: Scratch, prepared: Path, run: Run) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """Train model and tokenizer on the training splits."""
    documents = [text for corpus in scratch.corpora for text in corpus_texts(prepared, corpus)]
    if not documents:
        raise InputError("params.yaml: backbone.scratch.corpora: none of them has any text in data/prepared")
    tokenizer = train_tokenizer(documents, scratch.vocab_size)
    model = new_model(scratch, tokenizer)
    blocks = _blocks(tokenizer, documents, scratch, run.seed)
    run.train(model, Rows(blocks), language_model.loss)
    return model, PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def corpus_texts(prepared: Path, corpus: Corpus) -> Iterator[str]:
    """The training documents of a corpus, never of select, dev or test: prompts (both orders), texts, poems, plays."""
    if corpus == "pairs":
        for pair in read_pairs(prepared / "paraphrase" / "train.csv"):
            yield CLOZE.format(pair.sentence1, pair.sentence2)
            yield CLOZE.format(pair.sentence2, pair.sentence1)
    elif corpus in ("paraphrase", "etpc"):
        questions = (
            text for pair in read_pairs(prepared / corpus / "train.csv") for text in (pair.sentence1, pair.sentence2)
        )
        yield from dict.fromkeys(questions)  # each question once, in the order of the file
    elif corpus in ("sst", "cfimdb"):
        yield from (row.text for row in read_sentences(prepared / corpus / "train.csv"))
    elif corpus == "sonnets":
        yield from (poem.text for poem in read_poems(prepared / corpus / "train.jsonl") if poem.text)
    else:
        yield from (row["text"] for row in read_jsonl(prepared / corpus / "train.jsonl"))


def train_tokenizer(documents: list[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE with GPT-2's pre-tokenisation and its end-of-text token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def new_model(scratch: Scratch, tokenizer: Tokenizer) -> GPT2LMHeadModel:
    """A GPT-2 of the given size with fresh weights (drawn from torch's global generator)."""
    end = end_of_text(tokenizer)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=scratch.context,
        n_embd=scratch.width,
        n_layer=scratch.layers,
        n_head=scratch.heads,
        bos_token_id=end,
        eos_token_id=end,
        resid_pdrop=scratch.dropout,
        embd_pdrop=scratch.dropout,
        attn_pdrop=scratch.dropout,
        activation_function=GELU,
    )
    return GPT2LMHeadModel(config)


def _blocks(tokenizer: Tokenizer, documents: list[str], scratch: Scratch, seed: int) -> list[list[int]]:
    """Packed blocks of the shuffled documents; one pass, the loop repeats it until the budget is spent."""
    end = end_of_text(tokenizer)
    random.Random(seed).shuffle(documents)
    blocks = list(pack(([*code.ids, end] for code in tokenizer.encode_batch(documents)), scratch.block))
    if len(blocks) < scratch.batch_size:
        raise InputError(
            f"params.yaml: backbone.scratch: the text fills {len(blocks)} blocks of {scratch.block} tokens, "
            f"less than one batch of {scratch.batch_size}; lower block or batch_size, or add corpora"
        )
    return blocks
