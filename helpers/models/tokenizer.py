"""The reasoner's tokenizer: one token per name, digit and sign, so a person can count tokens by eye."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from helpers.models.worksheets import NAMES, OPERATORS

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
WORDS = (*SPECIAL, *"0123456789", *NAMES, *OPERATORS, "=", ":", ";", "?", "answer")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Build the word-level tokenizer; it puts ``<bos>`` before every text and splits at white space, newlines too."""
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", WORDS.index("<bos>"))])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
