"""Draw the README's figure: ``python -m tests.house.readme_figure``, called by ``make notebooks``."""

from helpers.widgets.memory import wall_frame
from tests.house.notebooks import NOTEBOOKS

FIGURE = NOTEBOOKS / "memory_wall.png"
CHOICE = {
    "model": "Qwen3-32B",
    "weight_format": "q4_k_m",
    "card": "RTX 4090",
    "kv_format": "fp16",
    "context": 32_768,
    "sequences": 1,
}

if __name__ == "__main__":
    wall_frame(**CHOICE)[0].savefig(FIGURE, dpi=100)
    print(wall_frame(**CHOICE)[1])
