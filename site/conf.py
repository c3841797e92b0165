"""How Sphinx makes the site; it is called by ``build.py`` on pages that this has written."""

import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from address import REPO, published  # noqa: E402
from glossary import link_terms  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

project = "Where a language model keeps what it remembers"
version = release = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]["version"]
author = "The maintainers of kv-memory-course"
copyright = f"{author}. Lessons and pictures: CC BY 4.0. Code: Apache-2.0"  # noqa: A001
language = "en"
smartquotes = False  # it would make one dash of the two of an option

extensions = ["myst_nb"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
myst_heading_slug_func = "notebook_pages.jupyter_anchor"
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "gfm"  # what a cell prints may be a table
nb_mime_priority_overrides = [("html", "image/svg+xml", 5), ("html", "image/png", 6)]
root_doc = "index"
suppress_warnings = ["misc.highlighting_failure", "mystnb.unknown_mime_type"]

html_theme = "furo"
html_title = "The memory of language models"
html_baseurl = f"{published().site}/"
html_favicon = str(HERE / "static" / "favicon.svg")
html_css_files = ["course.css"]
html_js_files = [(name, {"type": "module"}) for name in ("living.js", "guesses.js", "planner.js")]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False
html_permalinks_icon = "#"
html_theme_options = {"navigation_with_keys": False, "top_of_page_buttons": []}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


def setup(app: Sphinx) -> dict[str, Any]:
    """Words of the glossary become links; static files lie beside the pages' sources."""
    app.config.html_static_path = [str(Path(app.srcdir) / "_static")]
    app.connect("doctree-resolved", link_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
