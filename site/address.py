"""Where the course is published: it stands in pyproject.toml's URLs, and nowhere else.

Badges, CITATION.cff, the site, and the cell of lesson 00 that brings the course to Colab have it from there;
``python site/address.py`` writes it into the files that cannot read. Until somebody publishes, it is a placeholder.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parents[1]
BADGES = re.compile(r"(?<=<!-- badges -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
FETCHED = re.compile(r'(?<=address = \\")[^"\\]*')  # in lesson 00, as JSON has it
CITED = re.compile(r"^(repository-code|url): .*$", re.MULTILINE)
FIRST = "notebooks/00_start_here.ipynb"


class Published(NamedTuple):
    """Addresses: of the site, of the repository, and the site's path on its host, with a slash at both ends."""

    site: str
    repository: str
    path: str


def published() -> Published:
    """The addresses in pyproject.toml."""
    urls = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    site = urls["Homepage"].rstrip("/")
    return Published(site, urls["Repository"].rstrip("/"), f"{urlsplit(site).path}/")


def badges() -> str:
    """The three badges of the README, each of which opens a door: the site, Colab, Binder."""
    site, repository, _ = published()
    name = urlsplit(repository).path.strip("/")
    doors = [
        ("Read the course", "https://img.shields.io/badge/read-the_course-0072b2", site),
        ("Open in Colab", "https://colab.research.google.com/assets/colab-badge.svg",
         f"https://colab.research.google.com/github/{name}/blob/main/{FIRST}"),
        ("Open in Binder", "https://mybinder.org/badge_logo.svg",
         f"https://mybinder.org/v2/gh/{name}/main?urlpath=lab/tree/{FIRST}"),
    ]  # fmt: skip
    return "\n".join(f"[![{words}]({image})]({target})" for words, image, target in doors)


def renewed() -> dict[Path, str]:
    """README, CITATION.cff and lesson 00 as they must be for the addresses of now."""
    site, repository, _ = published()
    readme, citation, first = REPO / "README.md", REPO / "CITATION.cff", REPO / FIRST
    said = {"repository-code": repository, "url": site}
    return {
        readme: BADGES.sub(lambda _: badges(), readme.read_text("utf-8")),
        citation: CITED.sub(lambda found: f"{found[1]}: {said[found[1]]}", citation.read_text("utf-8")),
        first: FETCHED.sub(lambda _: repository, first.read_text("utf-8")),
    }


if __name__ == "__main__":
    for path, text in renewed().items():
        path.write_text(text, "utf-8")
        print(f"{path.name} leads to {published().repository}")
