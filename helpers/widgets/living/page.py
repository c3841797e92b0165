"""All living pictures on one page that needs no kernel and no network: ``python -m helpers.widgets.living PATH``."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from helpers.widgets.living.picture import LivingPicture, join_modules

_START = """
const text = (id) => document.getElementById(id).textContent;
for (const place of document.querySelectorAll("[data-picture]")) {
  const address = URL.createObjectURL(new Blob([text(place.dataset.picture + "-module")], { type: "text/javascript" }));
  const state = JSON.parse(text(place.dataset.picture + "-state"));
  const [picture, parts] = await Promise.all([import(address), import(window.parts)]);
  picture.default.render({ model: parts.still(state), el: place });
}
"""


def write_page(pictures: dict[str, LivingPicture], path: str | Path) -> Path:
    """One HTML file with every picture of the register, by its name, each at its first choice."""
    figures = "\n".join(_figure(name, picture) for name, picture in pictures.items())
    parts = json.dumps(still_parts())
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>The living pictures</title>"
        "<style>body{margin:0 auto;max-width:1110px;padding:16px;font:16px/1.5 system-ui,sans-serif}</style>"
        f"<body><main><h1>The living pictures</h1>\n{figures}</main>\n<script>window.parts = URL.createObjectURL("
        f'new Blob([{_in_script(parts)}], {{ type: "text/javascript" }}));</script>\n'
        f'<script type="module">{_START}</script></body></html>\n'
    )
    path = Path(path)
    path.write_text(html, encoding="utf-8")
    return path


def still_parts() -> str:
    """The module with ``still``, which stands in for a kernel's model."""
    return join_modules("parts.js").replace("export default { render };\n", "export { still };\n")


def _figure(name: str, picture: LivingPicture) -> str:
    state = json.dumps({"data": picture.data, "choice": picture.choice})
    return (
        f'<section><h2>{escape(picture.title)}</h2><div data-picture="{name}"></div>\n'
        f'<script type="application/json" id="{name}-state">{_in_script(state)}</script>\n'
        f'<script type="text/plain" id="{name}-module">{_in_script(picture._esm)}</script></section>'
    )


def _in_script(text: str) -> str:
    """Text that a script element may hold; what would end it is broken up in a way that JSON and JavaScript undo."""
    return text.replace("</", "<\\/")
