"""Living pictures: a mechanism to turn by hand; JavaScript draws what Python counts. Each is registered once."""

from collections.abc import Callable

from helpers.widgets.living.garage import Garage
from helpers.widgets.living.picture import LivingPicture

PICTURES: dict[str, Callable[[], LivingPicture]] = {
    "garage": Garage,
}

__all__ = ["PICTURES", "Garage", "LivingPicture"]
