"""The rooms of the house: who may import whom, and who does without torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted((ROOT / "helpers").rglob("*.py"))
# A room imports only from rooms that stand after it.
ROOMS = [
    "widgets",
    "teaching",
    "experiments",
    "engines",
    "decoding",
    "eviction",
    "models",
    "cache",
    "plots",
    "records",
    "machine",
    "measuring",
    "arithmetic",
]
WITHOUT_TORCH = ["arithmetic", "measuring", "records", "plots"]  # every file of them
# Of these rooms only the files that are named need torch.
NEED_TORCH = {
    "engines": {"kvpress_child", "reasoner_gguf"},
    "widgets": {
        "compression",
        "floors",
        "living.garage_live",
        "living.live_talk",
        "living.stored_row",
        "readers",
        "shuffled_notes",
    },
    "teaching": {
        "labs.lab_4",
        "labs.lab_5",
        "labs.lab_5_choose",
        "labs.lab_5_paper_score",
        "labs.lab_6",
        "labs.lab_6_runs",
        "labs.lab_7",
        "labs.lab_8",
        "labs.lab_8_presses",
        "labs.policy_checks",
        "lessons.lesson_07",
        "lessons.lesson_08",
        "lessons.lesson_09",
    },
}
FREE_FILES = ["helpers.cache.block_pool", "helpers.machine.address_space", "helpers.models.worksheets"]


def module_of(path: Path) -> str:
    """The dotted name of a file of helpers."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(source: str) -> list[tuple[int, str]]:
    """Line and dotted name of everything of helpers that a file imports, functions' own imports included."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written out from helpers on"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return [(line, name) for line, name in found if name.startswith("helpers.")]


def against_the_order(module: str, source: str) -> list[str]:
    """The imports of a file that lead to a room before its own, or out of the rooms, one line each."""
    room = module.split(".")[1]
    wrong = []
    for line, name in imports_of(source):
        other = name.split(".")[1]
        if other not in ROOMS or ROOMS.index(other) < ROOMS.index(room):
            wrong.append(f"{module}, line {line}: {room} may not import {name}; it stands before it")
    return wrong


def test_no_file_stands_outside_a_room():
    assert {path.relative_to(ROOT / "helpers").parts[0] for path in CODE} <= {*ROOMS, "__init__.py", "__main__.py"}


def test_a_room_imports_only_from_rooms_after_it():
    in_rooms = [path for path in CODE if path.parent != ROOT / "helpers"]
    assert [line for path in in_rooms for line in against_the_order(module_of(path), path.read_text())] == []


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("from helpers.eviction import TriAttention", "helpers.eviction.TriAttention"),
        ("def f():\n    import helpers.widgets.page", "helpers.widgets.page"),
        ("from helpers import widgets", "helpers.widgets"),
        ("from helpers.cellar import wine", "helpers.cellar.wine"),
    ],
)
def test_the_import_that_breaks_the_order_is_named(source, named):
    [line] = against_the_order("helpers.cache.row_store", source)
    assert named in line and line.startswith("helpers.cache.row_store, line ")
    assert against_the_order("helpers.cache.row_store", "from helpers.arithmetic import KVShape") == []


def test_no_file_imports_itself_in_a_circle():
    modules = {module_of(path) for path in CODE}

    def files_of(names: list[tuple[int, str]]) -> set[str]:
        """A name is a file, or something in one."""
        return {name if name in modules else name.rpartition(".")[0] for _, name in names}

    needs = {module_of(path): files_of(imports_of(path.read_text())) - {module_of(path)} for path in CODE}
    while needs:
        leaves = {name for name, others in needs.items() if not others & set(needs)}
        assert leaves, f"these import each other: {sorted(needs)}"
        needs = {name: others for name, others in needs.items() if name not in leaves}


# --- Without torch ---------------------------------------------------------------------------------------------------
def free_of_torch() -> list[str]:
    """Every module that must import where neither torch nor transformers can be."""
    modules = [module_of(path) for path in CODE if path.name != "__main__.py"]
    free = [name for name in modules if name.split(".")[1:2] and name.split(".")[1] in WITHOUT_TORCH]
    for room, need in NEED_TORCH.items():
        inside = {name for name in modules if name.startswith(f"helpers.{room}")}
        needing = {f"helpers.{room}.{name}" for name in need}
        assert needing <= inside, f"named as in need of torch, and not there: {needing - inside}"
        free += sorted(inside - needing)
    return free + FREE_FILES


def import_blocked(modules: list[str]) -> str:
    """What Python says when these are imported, one after the other, without torch and transformers."""
    code = "import importlib, sys\nsys.modules['torch'] = sys.modules['transformers'] = None\n"
    code += f"for name in {modules}:\n    print('now', name, file=sys.stderr)\n    importlib.import_module(name)\n"
    code += "print('done', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.stderr


def test_the_arithmetic_half_imports_neither_torch_nor_transformers():
    modules = free_of_torch()
    assert len(modules) > 60
    said = import_blocked(modules)
    assert said.splitlines()[-1] == "done", said


def test_a_file_that_needs_torch_is_caught():
    assert "now helpers.cache.row_store" in import_blocked(["helpers.cache.row_store"]).splitlines()
    assert import_blocked(["helpers.cache.row_store"]).splitlines()[-1] != "done"


# --- The doors into transformers -------------------------------------------------------------------------------------
def test_no_back_door_into_transformers():
    """A Cache subclass and AttentionInterface are the two doors: no hooks, no patched attributes, no private names."""
    text = {module_of(path): path.read_text() for path in CODE}
    doors = r"register_forward\w*hook|setattr\(|monkeypatch|transformers[\w.]*\._[a-z]\w*"
    inside = r"from transformers\.models\.\S+ import"
    assert [(module, re.findall(f"{doors}|{inside}", source)) for module, source in text.items()] == [
        (module, []) for module in text
    ]
