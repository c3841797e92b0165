"""All models of the catalog, and those of them that the lessons compare."""

from helpers.arithmetic.catalog.dense import DENSE
from helpers.arithmetic.catalog.hybrids import HYBRIDS
from helpers.arithmetic.catalog.lesson_models import LESSON_MODELS
from helpers.arithmetic.catalog.look_up import find
from helpers.arithmetic.catalog.mixtures import MIXTURES
from helpers.arithmetic.catalog.model import Model

MODELS: dict[str, Model] = {model.name: model for model in (*LESSON_MODELS, *DENSE, *MIXTURES, *HYBRIDS)}
IN_LESSONS: tuple[str, ...] = tuple(model.name for model in LESSON_MODELS)


def find_model(name: str) -> Model:
    """Return the model called `name`, in any letter case.

    Raises:
        ValueError: No model has that name; the message names the closest one and lists all.
    """
    return find("model", name, MODELS)
