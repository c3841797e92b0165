"""The saved row of keys is what SmolLM2 keeps of the word, on this processor too."""

import numpy as np

from helpers.experiments.kv_row import key_row
from helpers.records import load_kv_row


def test_the_saved_row_is_what_the_model_keeps():
    np.testing.assert_allclose(key_row(), load_kv_row().row, atol=2e-3)
