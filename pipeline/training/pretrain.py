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
    """Train tokenizer and model on the training splits, which are repeated until the budget is spent."""
    documents = [text for corpus in scratch.corpora for text in corpus_texts(prepared, corpus)]
    if not documents:
        raise InputError("params.yaml: backbone.scratch.corpora: none of them has any text in data/prepared")
    tokenizer = train_tokenizer(documents, scratch.vocab_size)
    vocabulary, end = tokenizer.get_vocab_size(), end_of_text(tokenizer)
    config = GPT2Config(vocab_size=vocabulary, bos_token_id=end, eos_token_id=end, activation_function=GELU)
    config.n_embd, config.n_layer, config.n_head = scratch.width, scratch.layers, scratch.heads
    config.n_positions = scratch.context
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = scratch.dropout
    model = GPT2LMHeadModel(config)  # its weights are drawn from torch's global generator
    random.Random(run.seed).shuffle(documents)
    blocks = list(pack(([*code.ids, end] for code in tokenizer.encode_batch(documents)), scratch.block))
    if len(blocks) < scratch.batch_size:
        raise InputError(
            f"params.yaml: backbone.scratch: the text fills {len(blocks)} blocks of {scratch.block} tokens, "
            f"less than one batch of {scratch.batch_size}; lower block or batch_size, or add corpora"
        )
    run.train(model, Rows(blocks), language_model.loss)
    return model, PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def corpus_texts(prepared: Path, corpus: Corpus) -> Iterator[str]:
    """The training documents of a corpus, never of select, dev or test: prompts (both orders), texts, poems, plays."""
    if corpus == "pairs":
        for pair in read_pairs(prepared / "paraphrase" / "train.csv"):
            yield CLOZE.format(pair.sentence1, pair.sentence2)
            yield CLOZE.format(pair.sentence2, pair.sentence1)
    elif corpus in ("paraphrase", "etpc"):
        pairs = read_pairs(prepared / corpus / "train.csv")
        # Each question once, in the order of the file.
        yield from dict.fromkeys(text for pair in pairs for text in (pair.sentence1, pair.sentence2))
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
    special, alphabet = [END_OF_TEXT], pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer
