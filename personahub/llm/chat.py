"""Asks one OpenAI-compatible endpoint for answers of a chat model."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from personahub.config import Model
from personahub.llm import json_answers, responses
from personahub.llm.http import Connection
from personahub.llm.types import Attempt, ChatCall

__all__ = ["ChatClient", "ResponseFormat"]

ResponseFormat = Literal["json_schema", "json_object", "none"]


class ChatClient:
    """One client per event loop: make it, use it and close it inside the same running loop."""

    def __init__(self, model: Model, key: str | None, response_format: ResponseFormat) -> None:
        """`response_format` is what the endpoint holds (see `probe`). Opens no connection yet."""
        self.response_format = response_format
        self._model = model
        self._connection = Connection(model, key)

    async def attempt(self, call: ChatCall, messages: Sequence[Mapping[str, str]] | None = None) -> Attempt:
        """Exactly one HTTP request for `call`, with `messages` in place of its own if given. See `Connection.post`."""
        body = self.body(call, messages)
        most = self._model.max_answer_tokens
        return await self._connection.post("/chat/completions", body, lambda got: responses.judge(got, call.schema), most)

    def body(self, call: ChatCall, messages: Sequence[Mapping[str, str]] | None = None) -> dict[str, Any]:
        """The JSON body of the request, as `preview` shows it."""
        asked = list(call.messages if messages is None else messages)
        # the default of some servers is a stream
        body: dict[str, Any] = {"model": self._model.model, "messages": asked, "stream": False} | self._model.generation_params
        if call.schema is None:
            return body
        if self.response_format == "json_schema":
            named = {"name": call.schema_name, "schema": call.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
            return body
        if self.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        body["messages"] = _with_schema(asked, call.schema)
        return body

    async def close(self) -> None:
        """Closes the connections. Requests still in flight fail."""
        await self._connection.close()


def _with_schema(messages: list[Mapping[str, str]], schema: Mapping[str, Any]) -> list[Mapping[str, str]]:
    described = json_answers.describe(schema)
    if messages and messages[0].get("role") == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{described}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": described}, *messages]
