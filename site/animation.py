"""The README's moving picture, from the living one: ``python site/animation.py`` writes site/garage.gif.

The story of lesson 00 fills the garage; then nine rows in ten are evicted, and one sees how many floors come back.
"""

from __future__ import annotations

from io import BytesIO

from address import REPO
from PIL import Image
from tqdm import tqdm

from helpers.widgets.living import Garage

TARGET = REPO / "site" / "garage.gif"
WIDTH = 760  # pixels
COLOURS = 64
STEP, PAUSE, END = 220, 1_600, 5_000  # milliseconds: a frame, the full garage, what is left


def frames() -> list[tuple[Image.Image, int]]:
    """Pictures with the milliseconds that each is shown."""
    tokens = [*range(41, 192, 12), 192]
    shown = [(Garage(seen=seen), STEP) for seen in tokens[:-1]]
    shown += [(Garage(seen=192), PAUSE), (Garage(share=0.5), PAUSE), (Garage(share=0.9), END)]
    return [(_image(garage), time) for garage, time in tqdm(shown, unit="frame")]


def _image(garage: Garage) -> Image.Image:
    picture = Image.open(BytesIO(garage.scene().png())).convert("RGB")
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)


def main() -> None:
    """Write the animation, every frame as high as the highest."""
    drawn = frames()
    height = max(image.height for image, _ in drawn)
    pages = [Image.new("RGB", (WIDTH, height), "white") for _ in drawn]
    for page, (image, _) in zip(pages, drawn, strict=True):
        page.paste(image)
    palette = pages[-3].quantize(COLOURS, Image.Quantize.FASTOCTREE)
    pages = [page.quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]
    times = [time for _, time in drawn]
    pages[0].save(TARGET, save_all=True, append_images=pages[1:], duration=times, loop=0, optimize=True)
    print(f"{TARGET.relative_to(REPO)}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
