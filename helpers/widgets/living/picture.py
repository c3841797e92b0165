"""What every living picture is: a module of JavaScript that draws, and a Python object that counts.

The module is joined here from files by subject, since a widget's module cannot import its neighbours. Node's tests and
the site read the same files. JavaScript asks, by a message, what Python counts; where no kernel runs it answers itself
from what was recorded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets
from IPython.display import display

from helpers.widgets.living.scene import Scene
from helpers.widgets.page import bundle_caption, is_static

FOLDER = Path(__file__).parent
NOTE = "living_picture"  # in the metadata of a still picture's output
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./[\w.]+";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?(function|const|class|let) )", re.MULTILINE)


def join_modules(*names: str) -> str:
    """One module of JavaScript from files of this folder, each after those that it imports; it hands out ``render``.

    The names that a file hands to its neighbours are those of one scope here, so no two files may share a name.
    """
    files = [(FOLDER / name).read_text(encoding="utf-8") for name in names]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in files) + "\nexport default { render };\n"


class LivingPicture(anywidget.AnyWidget):
    """A picture that a reader turns. A subclass says what is drawn, what is counted, and how it stands still.

    Attributes:
        title: what the picture is called on a page of all of them.
        data: what it is drawn from, sent once.
        choice: what the reader has turned it to.
    """

    title: ClassVar[str] = ""
    data = traitlets.Dict().tag(sync=True)
    choice = traitlets.Dict().tag(sync=True)

    def __init__(self, data: dict[str, Any], choice: dict[str, Any]) -> None:
        super().__init__(data=data | {"caption": self.caption(choice)}, choice=choice)
        self.on_msg(self._answer)

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """What Python counts for a choice, to be drawn.

        Raises:
            ValueError: in the reader's words, if the choice is none.
        """
        raise NotImplementedError(f"{type(self).__name__} must write frame(choice)")

    @classmethod
    def caption(cls, choice: dict[str, Any]) -> str:
        """A sentence or more under the picture: what kind it is, and what to see."""
        raise NotImplementedError(f"{cls.__name__} must write caption(choice)")

    def scene(self) -> Scene:
        """The picture at its present choice, standing still."""
        raise NotImplementedError(f"{type(self).__name__} must write scene()")

    def show(self) -> None:
        """Show it in the current cell, and behind it, for pages without a kernel, as it stands now."""
        if not is_static():
            display(self)  # its style hides the two outputs that follow while it is alive
        data, metadata = self.scene().bundle()
        display(data, metadata=metadata | {NOTE: self.told()}, raw=True)
        display(bundle_caption(self.caption(self.choice)), raw=True)

    def told(self) -> dict[str, Any]:
        """What the site needs to let the picture live again: which it is, how it was turned, whether it plays."""
        return {"picture": type(self).__name__, "choice": self.choice, "plays": self.data.get("plays", False)}

    def _answer(self, _: Any, content: dict[str, Any], __: Any) -> None:
        try:
            answer = {"frame": self.frame(content["ask"])}
        except ValueError as error:  # Jupyter shows nobody what a callback raises
            answer = {"refused": str(error)}
        self.send({"id": content["id"]} | answer)
