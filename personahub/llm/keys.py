"""The key of an endpoint: where it comes from, and what is sent with it. It is read where the calls are made, and kept nowhere.

An executor has no secrets of Databricks: it asks the driver for one, over the governor's link (governor_server.py).
"""

import importlib
import ipaddress
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from personahub.config import Model
from personahub.config.models import KEY_PLACEHOLDER, VARIABLE
from personahub.errors import AuthenticationError

Secret = Callable[[str], str]  # scope/key -> the secret; raises AuthenticationError


def databricks_secret(name: str) -> str:
    """The secret scope/key, where Databricks Utilities are at hand: on a driver there, or with databricks-sdk and its sign-in.

    Raises AuthenticationError, which says what to do.
    """
    scope, _, key = name.partition("/")
    try:
        return importlib.import_module("databricks.sdk.runtime").dbutils.secrets.get(scope=scope, key=key)
    except ImportError:
        why = "there is no databricks.sdk here: it is part of Databricks, elsewhere pip install databricks-sdk"
    except Exception as error:  # of a library that has many, none of which holds a secret
        why = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
    raise AuthenticationError(f"cannot read the key from api_key_secret {name}: {why}")


def read_key(model: Model, secret: Secret = databricks_secret) -> str | None:
    """The endpoint's key: from `api_key_env`, else from `api_key_file`, else from `api_key_secret`. None where none is needed.

    That is on loopback without any key, and anywhere if all three settings are null. Raises AuthenticationError, which says what to
    set, also where a variable is missing that `headers` or `query` name.
    """
    env, file = model.api_key_env, model.api_key_file
    key = os.environ.get(env, "").strip() if env else ""
    if not key and file:
        try:
            key = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise AuthenticationError(f"cannot read the key from api_key_file {file}: {why}") from None
        if not key:
            raise AuthenticationError(f"api_key_file {file} is blank: put the endpoint's key into it")
    elif not key and model.api_key_secret:
        key = secret(model.api_key_secret).strip()
        if not key:
            raise AuthenticationError(f"api_key_secret {model.api_key_secret} is blank: put the endpoint's key into it")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise AuthenticationError(
            f"the key from {origin_of(model)} holds spaces, line breaks or characters outside ASCII: is it the right one?"
        )
    if not key and not is_loopback(model.base_url) and (env or file):
        raise AuthenticationError(
            f"no key for {model.base_url}: set the environment variable {env or 'that api_key_env names'} where the calls are made "
            "(on a cluster: on the executors), or name a file with api_key_file or a Databricks secret with api_key_secret; "
            "if the endpoint needs none, set api_key_env to null"
        )
    credentials_of(model, key or None)
    return key or None


def origin_of(model: Model) -> str:
    """Where `read_key` found a key."""
    if model.api_key_env and os.environ.get(model.api_key_env, "").strip():
        return f"${model.api_key_env}"
    return f"the file {model.api_key_file}" if model.api_key_file else f"the secret {model.api_key_secret}"


SECRET_CHARACTERS = 8  # what is shorter is no secret, but a word that stands in messages for itself: test, none, ollama


@dataclass(frozen=True)
class Credentials:
    """What a request carries beside its body. Never printed, stored or sent elsewhere: `secrets` are what is scrubbed from messages."""

    headers: dict[str, str]
    query: dict[str, str]
    secrets: tuple[str, ...]
    said: str  # what was sent, in words: where each secret came from

    def scrubbed(self, message: str) -> str:
        """A message of the endpoint without them: some echo the key in their errors."""
        for secret in self.secrets:
            message = message.replace(secret, "***")
        return message


def credentials_of(model: Model, key: str | None) -> Credentials:
    """`headers` and `query` with their variables filled in, and the key as a bearer token unless a header places it.

    Raises AuthenticationError for a variable that is not set here.
    """
    headers = {name: _filled(model, f"headers.{name}", value, key) for name, value in model.headers.items()}
    query = {name: _filled(model, f"query.{name}", value, key) for name, value in model.query.items()}
    taken = {name for value in (*model.headers.values(), *model.query.values()) for name in VARIABLE.findall(value)}
    if key and KEY_PLACEHOLDER not in taken and "authorization" not in {name.lower() for name in headers}:
        headers["Authorization"] = f"Bearer {key}"
    secrets = [key or "", *(os.environ[name].strip() for name in taken - {KEY_PLACEHOLDER})]
    # as in an address, too; longer ones first, as one may hold another
    forms = {
        form for one in secrets if len(one) >= SECRET_CHARACTERS for form in (one, quote(one, safe=""), quote(one, safe="/?:@"))
    }
    written = sorted(forms, key=len, reverse=True)
    return Credentials(headers, query, tuple(written), " and ".join(_told(model, key)))


def _filled(model: Model, where: str, value: str, key: str | None) -> str:
    def of(name: str) -> str:
        if name == KEY_PLACEHOLDER:
            if key is None:
                raise AuthenticationError(f"no key for {where}, which holds ${{{name}}}: {_why_without(model)}")
            return key
        found = os.environ.get(name, "").strip()
        if not found:
            raise AuthenticationError(
                f"the environment variable {name}, which {where} names, is not set where the calls are made "
                "(on a cluster: on the executors)"
            )
        if not (found.isascii() and found.isprintable()):
            raise AuthenticationError(f"${name}, which {where} names, holds line breaks or characters outside ASCII")
        return found

    return VARIABLE.sub(lambda match: of(match[1]), value)


def _told(model: Model, key: str | None) -> Iterator[str]:
    yield f"the key from {origin_of(model)}" if key else f"a request without a key, as {_why_without(model)}"
    for block in ("headers", "query"):
        for name, value in getattr(model, block).items():
            variables = [f"${each}" for each in VARIABLE.findall(value) if each != KEY_PLACEHOLDER]
            if variables:
                yield f"{block}.{name} from {', '.join(variables)}"


def _why_without(model: Model) -> str:
    """Why `read_key` gives no key."""
    return f"${model.api_key_env} is not set" if model.api_key_env else "api_key_env is null"


def is_loopback(base_url: str) -> bool:
    """Is it on this machine?"""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
