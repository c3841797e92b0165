"""Controls bound to draw functions, one file per subject; ``page`` has what they all stand on."""

from helpers.widgets.page import Picture, control, progress, show
from helpers.widgets.prediction import Prediction

__all__ = ["Picture", "Prediction", "control", "progress", "show"]
