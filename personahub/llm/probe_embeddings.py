"""Finds out whether an endpoint gives vectors, and how they travel, before anything is spent on it."""

import dataclasses
import time

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.ids import canonical_json, content_id
from personahub.llm.embeddings import EmbeddingsClient, key_of
from personahub.llm.probe import VERSION, Probe, ask, name_of, steps_down, why
from personahub.llm.types import Attempt, ChatCall, EmbeddingCall


async def probe_embeddings(model: Model, key: str | None) -> Probe:
    """Finds out with a tiny request or two whether the endpoint gives vectors, and how: base64, else float. See `probe.probe`.

    Only an endpoint that has answered can be believed when it refuses a text for good.
    """
    made: list[tuple[ChatCall, Attempt]] = []
    client = EmbeddingsClient(model, key, "base64")
    try:
        for encoding in ("base64", "float"):
            client.encoding = encoding
            identity = content_id(canonical_json(["probe-embeddings", model.base_url, key_of(model), encoding, time.time_ns()]))
            call = ChatCall(identity, key_of(model), 0, name_of(encoding), VERSION, [])
            attempt = await ask(_OneText(client), call, made)
            if not (steps_down(attempt) or attempt.kind is ErrorKind.MALFORMED):
                break
        found = {"encoding": encoding} if attempt.kind is None else {}
        return Probe(found, *why(attempt, model), tuple(made), frozenset({call.completion_id}) if found else frozenset())
    finally:
        await client.close()


class _OneText:
    """Asks for one vector, whatever the call: that is for the ledger."""

    def __init__(self, client: EmbeddingsClient) -> None:
        self._client = client

    async def attempt(self, call: ChatCall) -> Attempt:
        return dataclasses.replace(await self._client.attempt(EmbeddingCall(("probe",), ("A lighthouse keeper.",))), vectors=())
