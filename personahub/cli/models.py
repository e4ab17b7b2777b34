"""What the command line has to do with endpoints: a look at the real ones, and a simulated one."""

import asyncio
from typing import Any

from rich.console import Console

from personahub import mockserver
from personahub.config import Config, Model
from personahub.errors import AuthenticationError, ConfigError, EndpointError, ErrorKind
from personahub.llm.chat import read_key
from personahub.llm.probe import probe
from personahub.render import views


def check(config: Config, console: Console) -> None:
    """Probe each model. Raises EndpointError or AuthenticationError if nothing can be bought from one of them."""
    rows, refused, problems = [], False, []
    for alias, model in config.models.items():
        kind, finding = _probe(model)
        rows.append((alias, model.model, model.base_url, finding))
        if kind is not None:
            key = kind is ErrorKind.AUTHENTICATION  # what is wrong with it names the endpoint
            refused = refused or key
            problems.append(f"models.{alias}: {finding}" if key else f"{alias} ({model.base_url}): {finding}")
    views.models(console, rows)
    if problems:
        raise (AuthenticationError if refused else EndpointError)("\n".join(problems))


def _probe(model: Model) -> tuple[ErrorKind | None, str]:
    """Why nothing can be bought there (None: it can), and what to tell."""
    try:
        found = asyncio.run(probe(model, read_key(model)))
    except AuthenticationError as error:
        return ErrorKind.AUTHENTICATION, str(error)
    if found.response_format is None:
        return found.kind or ErrorKind.CONNECTION, found.message or "it does not answer"
    finding = f"answers; response_format {found.response_format}"
    return None, finding if found.kind is None else f"{finding}, but the answer was of no use: {found.message}"


def serve(**settings: Any) -> None:
    """Blocks until Ctrl-C. `settings` are fields of mock_server.Settings; raises ConfigError for a wrong one or a port in use."""
    console = Console(highlight=False)

    def ready(base_url: str) -> None:
        console.print(
            f"simulated endpoint at {base_url} (Ctrl-C ends it; its counts: {base_url.removesuffix('/v1')}/stats)", soft_wrap=True
        )

    try:
        mockserver.serve(mockserver.Settings(**settings), ready)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"cannot listen on 127.0.0.1:{settings['port']}: {error.strerror}; choose another --port") from None
