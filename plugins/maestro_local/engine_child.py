"""The program of the engine's child process: llama.cpp's server, loaded from the xllamacpp wheel.

Run by path, not imported: it needs nothing but the standard library and xllamacpp. On stdin comes one line,
the settings as JSON (see `SETTINGS`); on stdout goes one line of JSON, ``{"address": "…"}`` when the
server listens and its model is loaded, or ``{"error": "…"}``. The end of stdin ends the process, and so it
cannot outlive whoever started it; SIGTERM ends it at once. stderr is llama.cpp's own log of errors.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import shutil
import signal
import sys
import time
from typing import Any

SETTINGS = (
    "model",  # path of a GGUF
    "alias",  # the model id that the server lists
    "api_key",
    "socket",  # path of the unix socket, in a folder that is made and removed here; null: a port of 127.0.0.1
    "context",  # tokens, of each slot
    "parallel",  # slots
    "threads",
)

PREFILL_STEP = 256
"""Tokens per batch: a client that left during the prefill is noticed once per batch."""

PROMPT_CACHE_MIB = 256

LOG_DELAY = 0.5
"""Seconds: llama.cpp writes its log from a thread of its own, and the reason of a failure is only there."""

LOADED: list[Any] = []
"""Keeps the server: its destructor would wait for whatever still runs."""

ONLY_ERRORS = 1
PR_SET_PDEATHSIG = 1


def main() -> int:
    """Load, answer, wait for the end of stdin; return the exit status."""
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        return 0  # whoever started this is gone already
    settings = dict(zip(SETTINGS, map(json.loads(line).__getitem__, SETTINGS), strict=True))
    answer = only_answers_on_stdout()
    die_with_parent(signal.SIGKILL)  # loading holds the GIL, so that the end of stdin would be seen late
    try:
        if settings["socket"]:
            os.mkdir(os.path.dirname(settings["socket"]), 0o700)
        server = load(settings)
    except ImportError as error:
        say(answer, {"error": f"xllamacpp cannot be imported: {error}"})
        return 1
    except OSError as error:
        say(answer, {"error": f"the folder of its socket cannot be made: {error}"})
        return 1
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        say(answer, {"error": str(error) or type(error).__name__})
        time.sleep(LOG_DELAY)
        return 1
    LOADED.append(server)
    die_with_parent(0)
    say(answer, {"address": server.listening_address})
    sys.stdin.read()
    if settings["socket"]:
        shutil.rmtree(os.path.dirname(settings["socket"]), ignore_errors=True)
    return 0


def load(settings: dict[str, Any]) -> Any:
    """Start the server; returns when the model is loaded. RuntimeError if it cannot (stderr says why)."""
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = [settings["alias"]]  # a set of names: a str would become its letters
    params.api_keys = [settings["api_key"]]
    if settings["socket"]:
        params.hostnames = [settings["socket"]]
    else:
        params.hostnames = ["127.0.0.1"]
        params.port = 0
    params.n_ctx = settings["context"] * settings["parallel"]
    params.n_parallel = settings["parallel"]
    # Slots that share one cache all fail in the middle of their answers once it is full.
    params.kv_unified = False
    params.n_batch = PREFILL_STEP
    params.n_ubatch = PREFILL_STEP
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.use_jinja = True
    params.ui = False
    params.verbosity = ONLY_ERRORS
    return xllamacpp.Server(params)


def only_answers_on_stdout() -> int:
    """Make what native code prints go to stderr; return the descriptor of the real stdout."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def say(answer: int, message: dict[str, Any]) -> None:
    """Write the one line. A reader that is gone closes stdin too, and that is where it is noticed."""
    with contextlib.suppress(BrokenPipeError):
        os.write(answer, json.dumps(message).encode() + b"\n")
    os.close(answer)


def die_with_parent(number: int) -> None:
    """Ask Linux for this signal when the parent dies (0: none). Elsewhere only the end of stdin counts."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the daemon, which drains first
    status = main()
    sys.stderr.flush()
    os._exit(status)
