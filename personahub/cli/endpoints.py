"""`personahub mock-server` and `local-model`: a simulated endpoint, and a small real one."""

import contextlib
import threading
from typing import Annotated, Any, Literal

import typer
import yaml

from personahub.errors import ConfigError
from personahub.render.terminal import new_console

Kind = Literal[
    "openai", "azure", "vllm", "sglang", "llamacpp", "ollama", "openrouter", "gemini", "mistral", "deepseek", "litellm"
]


def mock_server(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    capacity: Annotated[int, typer.Option(min=1, help="Requests worked on at once.")] = 64,
    overflow: Annotated[Literal["queue", "429"], typer.Option(help="Above the capacity: wait in line, or answer 429.")] = "queue",
    median: Annotated[float, typer.Option(min=0, help="Median latency in seconds (log-normal).")] = 0.4,
    sigma: Annotated[float, typer.Option(min=0, help="Sigma of the logarithm of the latency.")] = 0.9,
    fault_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of attempts that go wrong.")] = 0.0,
    faults: Annotated[str | None, typer.Option(metavar="KIND,...", help="Which faults; none named: the usual ones.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests admitted per minute; above it 429.")] = None,
    duplicates: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the personas in answers that come again and again.")
    ] = 0.0,
    like: Annotated[
        Kind | None, typer.Option(help="The manner of a kind of server: what it refuses, how it tells usage, errors and limits.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed and request, same answer and latency.")] = 0,
) -> None:
    """A simulated OpenAI-compatible endpoint on loopback, to try things on without spending. It is no model."""
    from personahub import mockserver

    console = new_console()

    def ready(base_url: str) -> None:
        counts = f"{base_url.removesuffix('/v1')}/stats"
        console.print(f"simulated endpoint at {base_url} (Ctrl-C ends it; its counts: {counts})", soft_wrap=True)

    kinds: dict[str, Any] = {"faults": tuple(kind.strip() for kind in faults.split(","))} if faults else {}
    try:
        settings = mockserver.Settings(
            port=port,
            capacity=capacity,
            overflow=overflow,
            median=median,
            sigma=sigma,
            fault_rate=fault_rate,
            rpm=rpm,
            duplicates=duplicates,
            like=like,
            seed=seed,
            **kinds,
        )
        mockserver.serve(settings, ready)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another --port") from None


def local_model(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
) -> None:
    """A small real model on loopback, by llama.cpp on this machine's cores: no key, no cost. It writes badly."""
    from personahub import localmodel

    with localmodel.start(port) as base_url, contextlib.suppress(KeyboardInterrupt):
        say = new_console().print
        say(f"{localmodel.NAME} at {base_url} (Ctrl-C ends it). For a hub, in a file for -c:", soft_wrap=True)
        say(yaml.safe_dump({"models": {"default": localmodel.settings(base_url)}}, sort_keys=False), end="")
        threading.Event().wait()
