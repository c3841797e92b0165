"""Living pictures: a mechanism to turn by hand; JavaScript draws what Python counts. Each is registered once."""

from collections.abc import Callable

from helpers.widgets.living.attention_words import AttentionWords
from helpers.widgets.living.picture import LivingPicture
from helpers.widgets.living.row_format import RowFormat
from helpers.widgets.living.shared_heads import SharedHeads

PICTURES: dict[str, Callable[[], LivingPicture]] = {
    "attention_words": AttentionWords,
    "row_format": RowFormat,
    "shared_heads": SharedHeads,
}

__all__ = ["PICTURES", "AttentionWords", "LivingPicture", "RowFormat", "SharedHeads"]
