"""Living pictures: a mechanism to turn by hand; JavaScript draws what Python counts. Each is registered once."""

from collections.abc import Callable

from helpers.widgets.living.compass import Compass
from helpers.widgets.living.picture import LivingPicture
from helpers.widgets.living.two_walls import TwoWalls

PICTURES: dict[str, Callable[[], LivingPicture]] = {
    "two_walls": TwoWalls,
    "compass": Compass,
}

__all__ = ["PICTURES", "Compass", "LivingPicture", "TwoWalls"]
