"""Questions to an engine's server on this machine, over HTTP and past all proxies."""

from __future__ import annotations

import http.client
import json
from operator import index
from typing import Any

from helpers.engines.engine import Prompt


def knock(engine: str, address: str, path: str, body: dict[str, Any] | None = None, key: str = "") -> str:
    """What a server answers: a GET, or a POST where there is a body.

    Args:
        engine: its name, for the error.
        address: host and port.
        path: what is asked for.
        body: sent as JSON.
        key: that the server wants to see.

    Raises:
        RuntimeError: in one line, if there is nobody any more who answers.
    """
    connection = http.client.HTTPConnection(address)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        sent = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, sent, headers)
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise RuntimeError(f"{engine} ended while it was asked; start it again") from error
    finally:
        connection.close()


def read_json(engine: str, said: str) -> Any:
    """What a server said, as JSON.

    Raises:
        ValueError: in the engine's words, if it is a refusal.
    """
    answer = json.loads(said)
    refusal = answer.get("error") if isinstance(answer, dict) else None
    if refusal:
        raise ValueError(f"{engine} refuses: {refusal['message'] if isinstance(refusal, dict) else refusal}")
    return answer


def text_or_ids(prompt: Prompt) -> str | list[int]:
    """A prompt that is no chat, as servers take it.

    Raises:
        ValueError: if it is neither text nor token ids, or empty.
    """
    try:
        given = prompt if isinstance(prompt, str) else [index(token) for token in prompt]
    except TypeError:
        given = ""
    if not given:
        raise ValueError(f"prompt is {prompt!r}; it may be text, a list of token ids, or a list of chat messages")
    return given


def is_chat(prompt: Prompt) -> bool:
    """Whether a prompt is a list of chat messages."""
    return isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], dict)
