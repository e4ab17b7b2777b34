"""Asks one OpenAI-compatible endpoint for answers of a chat model."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm import json_answers, prompt_cuts, responses
from personahub.llm.dialects import Dialect, adapt
from personahub.llm.http import Connection
from personahub.llm.types import Attempt, ChatCall

__all__ = ["ChatClient"]

RUNAWAYS = 3  # answers that ran away in blanks, after which a schema is asked for with a weaker response_format


class ChatClient:
    """One client per event loop: make it, use it and close it inside the same running loop."""

    def __init__(self, model: Model, key: str | None, dialect: Dialect) -> None:
        """`dialect`: how the endpoint wants to be asked (see `probe`); what its refusals say later is learned. Opens no connection yet."""
        self.dialect = dialect
        self._model = model
        self._runaways: Counter[str] = Counter()
        self._connection = Connection(model, key)

    async def attempt(self, call: ChatCall, messages: Sequence[Mapping[str, str]] | None = None) -> Attempt:
        """Exactly one HTTP request for `call`, with `messages` in place of its own if given. See `Connection.post`."""
        asked, body, most = self.dialect, self.body(call, messages), self._model.max_answer_tokens
        attempt = await self._connection.post("/chat/completions", body, lambda got: self.judge(got, call), most)
        if attempt.named:
            return self._learned(call, attempt, asked)
        if not attempt.usage.estimated and prompt_cuts.was_cut(attempt.usage.prompt, body["messages"], asked.cut_at):
            return dataclasses.replace(attempt, kind=ErrorKind.CONTEXT_CUT, message=prompt_cuts.message(attempt.usage.prompt))
        if attempt.kind is ErrorKind.RUNAWAY_WHITESPACE:
            self._count_runaway(call)
        return attempt

    def judge(self, got: Any, call: ChatCall) -> Attempt:
        """What a 200 with this body is."""
        return responses.judge(got, call.schema)

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the last response."""
        return self._connection.headers

    def body(self, call: ChatCall, messages: Sequence[Mapping[str, str]] | None = None) -> dict[str, Any]:
        """The JSON body of the request, as `preview` shows it."""
        asked = list(call.messages if messages is None else messages)
        # the default of some servers is a stream
        body: dict[str, Any] = {"model": self._model.model, "messages": asked, "stream": False}
        body |= self.dialect.params(self._model.generation_params)
        if call.schema is None:
            return body
        response_format = self.dialect.format_of(call.schema_name)
        if response_format == "json_schema":
            named = {"name": call.schema_name, "schema": call.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
            return body
        if response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        body["messages"] = _with_schema(asked, call.schema)
        return body

    def _learned(self, call: ChatCall, attempt: Attempt, asked: Dialect) -> Attempt:
        """A refusal that names a parameter is no verdict on the text where there is another way to ask, found now or while it travelled."""
        self.dialect = adapt(self.dialect, attempt.named, self._model.generation_params, call.schema_name) or self.dialect
        return attempt if self.dialect == asked else dataclasses.replace(attempt, kind=ErrorKind.UNSUPPORTED)

    def _count_runaway(self, call: ChatCall) -> None:
        self._runaways[call.schema_name] += 1
        if self._runaways[call.schema_name] % RUNAWAYS == 0:
            self.dialect = self.dialect.stepped_down(call.schema_name) or self.dialect

    async def close(self) -> None:
        """Closes the connections. Requests still in flight fail."""
        await self._connection.close()


def _with_schema(messages: list[Mapping[str, str]], schema: Mapping[str, Any]) -> list[Mapping[str, str]]:
    described = json_answers.describe(schema)
    if messages and messages[0].get("role") == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{described}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": described}, *messages]
