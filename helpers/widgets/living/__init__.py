"""Living pictures: a mechanism to turn by hand; JavaScript draws what Python counts. Each is registered once."""

from collections.abc import Callable

from helpers.widgets.living.attention_words import AttentionWords
from helpers.widgets.living.compass import Compass
from helpers.widgets.living.garage import Garage
from helpers.widgets.living.picture import LivingPicture
from helpers.widgets.living.row_format import RowFormat
from helpers.widgets.living.same_story import SameStory
from helpers.widgets.living.shared_heads import SharedHeads
from helpers.widgets.living.two_walls import TwoWalls

PICTURES: dict[str, Callable[[], LivingPicture]] = {
    "garage": Garage,
    "attention_words": AttentionWords,
    "shared_heads": SharedHeads,
    "same_story": SameStory,
    "row_format": RowFormat,
    "two_walls": TwoWalls,
    "compass": Compass,
}

__all__ = [
    "PICTURES",
    "AttentionWords",
    "Compass",
    "Garage",
    "LivingPicture",
    "SameStory",
    "RowFormat",
    "SharedHeads",
    "TwoWalls",
]
