"""llama.cpp in a process of its own: reads one JSON object from stdin, writes one to the file that it names.

``model``: a GGUF; ``texts``: to be tokenized; ``prompts``: lists of token ids, each to be continued greedily by
``n_predict`` tokens; ``answer``: the file for ``{"texts": [[ids]], "prompts": [[ids]]}``. It logs to stdout and stderr.
"""

import json
import os
import sys
from pathlib import Path
from urllib.request import Request, urlopen

from xllamacpp import CommonParams, Server, ggml_type

CONTEXT = 512

asked = json.load(sys.stdin)
parameters = CommonParams()
parameters.model.path, parameters.n_ctx, parameters.n_parallel = asked["model"], CONTEXT, 1
parameters.cache_type_k = parameters.cache_type_v = ggml_type.GGML_TYPE_F32
parameters.cpuparams.n_threads = 1  # its threads spin while they wait for each other, which is slow on a busy machine
server = Server(parameters)


def post(path, **content):
    request = Request(server.listening_address + path, json.dumps(content).encode())
    request.add_header("Content-Type", "application/json")
    return json.load(urlopen(request))["tokens"]


def complete(prompt):
    return post("/completion", prompt=prompt, n_predict=asked["n_predict"], temperature=0, return_tokens=True)


answer = {
    "texts": [post("/tokenize", content=text, parse_special=True) for text in asked["texts"]],
    "prompts": [*map(complete, asked["prompts"])],
}
Path(asked["answer"]).write_text(json.dumps(answer))
os._exit(0)  # without waiting for the server's threads
