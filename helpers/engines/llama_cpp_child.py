"""llama.cpp's own process: run as a script, and the only file that imports xllamacpp.

It reads one line of JSON from its standard input, starts the server, answers one line of JSON with the address (or with
what went wrong), and then waits until its input ends: that is when the parent stops it, or has died in whatever way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def main() -> None:
    """Start a server from the options on standard input and stay until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted cell interrupts the whole group of processes
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever C++ may print goes to the log, so that our answers stand alone
    try:
        server = start(json.loads(sys.stdin.readline()))
    except Exception as error:  # whatever it is, the parent says it
        answer = {"error": str(error)}
    else:
        answer = {"address": server.listening_address}
    print(json.dumps(answer), file=answers, flush=True)
    sys.stdin.read()
    os._exit(0)  # the server's own end may wait for ever


def start(options: dict[str, Any]) -> Any:
    """A server on 127.0.0.1, on a port that the system chooses; ``options`` are those of ``LlamaCpp``."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options["model_path"]
    params.n_ctx = options["context"]
    params.n_parallel = options["sequences"]
    params.kv_unified = options["unified"]
    params.cache_type_k, params.cache_type_v = (
        getattr(xllamacpp.ggml_type, f"GGML_TYPE_{name}") for name in options["ggml_types"]
    )
    params.flash_attn_type = getattr(
        xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{options['flash_attention']}"
    )
    params.ctx_shift, params.n_keep = options["keep"] is not None, options["keep"] or 0
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [options["key"]]
    params.verbosity = 4  # the least at which it tells its sizes
    params.fit_params = False  # it would read the model twice, and may change what was asked for
    params.warmup = False
    params.cache_ram_mib = options["parked_mib"]  # 0: no copies of old prompts in memory that no figure counts
    params.ui = False
    params.endpoint_slots = params.endpoint_metrics = True
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
