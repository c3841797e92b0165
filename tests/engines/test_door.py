"""The door to an engine's server: what is a prompt, what is a refusal, and nobody at home."""

import socket

import pytest

from helpers.engines.door import is_chat, knock, read_json, text_or_ids


def test_text_and_ids_are_prompts_and_a_chat_is_another():
    assert text_or_ids("Hello") == "Hello" and text_or_ids((1, 2)) == [1, 2]
    assert is_chat([{"role": "user", "content": "Hello"}]) and not is_chat([1, 2]) and not is_chat([])
    for wrong in ("", [], [1.5], 7, [[1, 2]]):
        with pytest.raises(ValueError, match="it may be text, a list of token ids, or a list of chat messages"):
            text_or_ids(wrong)


@pytest.mark.parametrize("said", ['{"error": {"message": "No."}}', '{"error": "No."}'])
def test_a_refusal_is_in_the_engine_s_words(said):
    with pytest.raises(ValueError, match=r"^vLLM refuses: No\.$"):
        read_json("vLLM", said)


@pytest.mark.parametrize("said", ["[1, 2]", '{"text": "error"}', '{"error": null}'])
def test_anything_else_is_an_answer(said):
    read_json("vLLM", said)


def test_where_nobody_listens_the_engine_has_ended():
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"127.0.0.1:{door.getsockname()[1]}"
    with pytest.raises(RuntimeError, match="vLLM ended while it was asked; start it again"):
        knock("vLLM", address, "/metrics")
