"""The Batch API of the mock server: files, and batches of them that are worked on after a while and end in whichever way is told.

    POST, GET /v1/files; GET, DELETE /v1/files/{id}; GET /v1/files/{id}/content
    POST, GET /v1/batches; GET /v1/batches/{id}; POST /v1/batches/{id}/cancel

A list of batches begins with the newest.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

# how a batch ends: in the order in which batches are made, each takes the next of Settings.batch_ends, and all after them complete
ENDS = (
    "completed",
    "failed",  # refused as a whole: a line is invalid
    "token_limit",  # refused as a whole: too many tokens wait
    "expired",  # with what it had answered by then, which is half
    "no_output",  # completed, and each line failed: there is no file of answers
    "nothing",  # completed, without any file: no line was worked on
    "repeated",  # completed; its output tells each line twice, and one that nobody asked
    "unmade",  # no batch is made: 500
    "unheard",  # completed, but the connection is lost before its making is told
    "late",  # completed, and only then its making is told
)
_PART = 0.5  # of its lines that a batch has answered before it expires or is cancelled
_NOT_JSON = "This line is not parseable as valid JSON. (simulated)"
Answer = Callable[[bytes], tuple[int, Any]]  # a body -> status and body, sold and counted


@dataclass
class _Batch:
    id: str
    created_at: int
    input_file_id: str
    metadata: dict[str, str]
    end: str
    status: str = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: dict[str, Any] | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"total": 0, "completed": 0, "failed": 0})
    lines: list[dict[str, Any]] = field(default_factory=list)  # not answered yet
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": self.created_at,
            "expires_at": self.created_at + 86_400,
            "input_file_id": self.input_file_id,
            "metadata": self.metadata,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "errors": self.errors,
            "request_counts": self.counts,
        }


class Refused(Exception):
    """An error response: its status and message."""


class Batches:
    """seconds: from a batch's making to its end. answer: what the endpoint says to one body."""

    def __init__(self, ends: tuple[str, ...], seconds: float, answer: Answer) -> None:
        self._ends, self._seconds, self._answer = ends, seconds, answer
        self._files: dict[str, tuple[str, bytes]] = {}
        self._batches: dict[str, _Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._made = 0

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        parts = path.removeprefix("/v1/").split("/")
        try:
            if parts[0] == "files":
                return await self._handle_file(request, parts[1:])
            if parts[0] == "batches":
                return await self._handle_batch(request, parts[1:])
            raise Refused(404, f"no such path: {request.method} {request.path}")
        except Refused as refused:
            status, message = refused.args
            return _json({"error": {"message": message, "type": "invalid_request_error", "code": None}}, status)

    @property
    def count(self) -> int:
        return len(self._batches)

    # -- files -----------------------------------------------------------------------------------------------------------------------

    async def _handle_file(self, request: web.BaseRequest, parts: list[str]) -> web.Response:
        match request.method, parts:
            case "POST", []:
                return _json(await self._upload(request))
            case "GET", []:
                return _json({"object": "list", "data": [self._told(name) for name in self._files], "has_more": False})
            case "GET", [name]:
                self._content(name)
                return _json(self._told(name))
            case "GET", [name, "content"]:
                return web.Response(body=self._content(name), content_type="application/octet-stream")
            case "DELETE", [name]:
                self._content(name)
                del self._files[name]
                return _json({"id": name, "object": "file", "deleted": True})
        raise Refused(404, f"no such path: {request.method} {request.path}")

    async def _upload(self, request: web.BaseRequest) -> dict[str, Any]:
        name, content, purpose = "", b"", ""
        async for part in await request.multipart():
            if not hasattr(part, "read"):
                continue
            value = await part.read(decode=False)  # type: ignore[union-attr]
            if part.name == "file":  # type: ignore[union-attr]
                name, content = part.filename or "file", bytes(value)  # type: ignore[union-attr]
            elif part.name == "purpose":  # type: ignore[union-attr]
                purpose = value.decode()
        if purpose != "batch":
            raise Refused(400, f"purpose is batch here, not {purpose!r}")
        return self._told(self._keep(name, content))

    def _keep(self, filename: str, content: bytes) -> str:
        name = f"file-{len(self._files)}-{time.time_ns():x}"
        self._files[name] = (filename, content)
        return name

    def _content(self, name: str) -> bytes:
        if name not in self._files:
            raise Refused(404, f"No such File object: {name}")
        return self._files[name][1]

    def _told(self, name: str) -> dict[str, Any]:
        filename, content = self._files[name]
        about = {"id": name, "object": "file", "bytes": len(content), "filename": filename, "purpose": "batch"}
        return about | {"created_at": int(time.time()), "status": "processed"}

    # -- batches ---------------------------------------------------------------------------------------------------------------------

    async def _handle_batch(self, request: web.BaseRequest, parts: list[str]) -> web.Response:
        match request.method, parts:
            case "POST", []:
                batch = self._make(orjson.loads(await request.content.read()))
                if batch.end == "late":
                    await asyncio.sleep(self._seconds)
                if batch.end == "unheard" and request.transport is not None:
                    request.transport.abort()
                return _json(batch.told())
            case "GET", []:
                return _json(self._listed(request.query.get("after"), int(request.query.get("limit", 20))))
            case "GET", [name]:
                return _json(self._batch(name).told())
            case "POST", [name, "cancel"]:
                batch = self._batch(name)
                if batch.status in ("validating", "in_progress"):
                    batch.status = "cancelling"
                    batch.cancelled.set()
                return _json(batch.told())
        raise Refused(404, f"no such path: {request.method} {request.path}")

    def _make(self, asked: dict[str, Any]) -> _Batch:
        name = asked.get("input_file_id", "")
        self._content(name)
        if asked.get("completion_window") != "24h" or asked.get("endpoint") != "/v1/chat/completions":
            raise Refused(400, "completion_window is 24h and endpoint /v1/chat/completions here")
        end = self._ends[self._made] if self._made < len(self._ends) else "completed"
        self._made += 1
        if end == "unmade":
            raise Refused(500, "The server had an error. (simulated)")
        batch = _Batch(f"batch_{self._made}_{time.time_ns():x}", int(time.time()), name, asked.get("metadata") or {}, end)
        self._batches[batch.id] = batch
        task = asyncio.get_running_loop().create_task(self._work(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return batch

    def _batch(self, name: str) -> _Batch:
        if name not in self._batches:
            raise Refused(404, f"No batch found with id {name}")
        return self._batches[name]

    def _listed(self, after: str | None, limit: int) -> dict[str, Any]:
        newest = list(reversed(self._batches.values()))
        start = next((number + 1 for number, batch in enumerate(newest) if batch.id == after), 0)
        page = newest[start : start + limit]
        data = [batch.told() for batch in page]
        ids = {"first_id": page[0].id, "last_id": page[-1].id} if page else {"first_id": None, "last_id": None}
        return {"object": "list", "data": data, "has_more": start + limit < len(newest)} | ids

    # -- work ------------------------------------------------------------------------------------------------------------------------

    async def _work(self, batch: _Batch) -> None:
        await self._rest(batch, self._seconds / 4)
        try:
            batch.lines = [orjson.loads(line) for line in self._content(batch.input_file_id).splitlines() if line]
        except (Refused, ValueError):
            return self._fail(batch, "invalid_json_line", _NOT_JSON)
        if batch.end == "token_limit":
            return self._fail(batch, "token_limit_exceeded", "Enqueued token limit reached. (simulated)")
        if batch.end == "failed" or len({line["custom_id"] for line in batch.lines}) < len(batch.lines):
            return self._fail(batch, "duplicate_custom_id", "The custom_id of a line is used twice. (simulated)")
        batch.counts["total"] = len(batch.lines)
        if batch.status == "validating":
            batch.status = "in_progress"
        await self._rest(batch, self._seconds / 4)
        part = len(batch.lines)
        if batch.end == "expired" or batch.cancelled.is_set():
            part = int(part * _PART)
        elif batch.end == "nothing":
            part = 0
        answered = [self._line(batch, line) for line in batch.lines[:part]]
        batch.lines = batch.lines[part:]
        await self._rest(batch, self._seconds / 2)
        self._close(batch, answered)

    async def _rest(self, batch: _Batch, seconds: float) -> None:
        """Unless it is cancelled before."""
        try:
            await asyncio.wait_for(batch.cancelled.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    def _line(self, batch: _Batch, line: dict[str, Any]) -> dict[str, Any]:
        if batch.end == "no_output":
            status, body = 500, {"error": {"message": "The server had an error. (simulated)", "code": "server_error"}}
        else:
            status, body = self._answer(orjson.dumps(line["body"]))
        batch.counts["completed" if status == 200 else "failed"] += 1
        response = {"status_code": status, "request_id": f"req_{line['custom_id'][:8]}", "body": body}
        return {"id": f"batch_req_{line['custom_id']}", "custom_id": line["custom_id"], "response": response, "error": None}

    def _fail(self, batch: _Batch, code: str, message: str) -> None:
        batch.status, batch.errors = "failed", {"object": "list", "data": [{"code": code, "message": message, "line": 1}]}

    def _close(self, batch: _Batch, answered: list[dict[str, Any]]) -> None:
        if batch.end == "nothing":
            batch.lines = []
        ended = "expired" if batch.end == "expired" else "cancelled" if batch.lines else "completed"
        good = [line for line in answered if line["response"]["status_code"] == 200]
        bad = [line for line in answered if line["response"]["status_code"] != 200]
        error = {"code": f"batch_{ended}", "message": f"This request was not run: the batch was {ended}. (simulated)"}
        bad += [{"id": "", "custom_id": line["custom_id"], "response": None, "error": error} for line in batch.lines]
        if batch.end == "repeated":
            good += [*good, *({**line, "custom_id": "nobody"} for line in good[:1])]
        batch.output_file_id = self._written(good)
        batch.error_file_id = self._written(bad)
        batch.status = ended

    def _written(self, lines: list[dict[str, Any]]) -> str | None:
        return self._keep("output.jsonl", b"".join(orjson.dumps(line) + b"\n" for line in lines)) if lines else None


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers={"x-simulated": "true"})
