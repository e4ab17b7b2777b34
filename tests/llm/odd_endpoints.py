"""Endpoints of a few lines, each odd in one way that was reported of real ones."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from personahub import mockserver

Answer = Callable[[dict[str, Any]], tuple[int, Any]]  # the body of a request -> status and body of its response


@contextmanager
def endpoint(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its base_url, and the bodies that it was sent."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            status, said = answer(body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
        server.shutdown()


def good(body: dict[str, Any]) -> tuple[int, Any]:
    """What the mock server would answer."""
    return 200, mockserver.answers.completion(body, seed=1)


def said(text: str, reason: str = "stop", prompt_tokens: int = 20, completion_tokens: int = 10) -> tuple[int, Any]:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return 200, {"choices": [{"message": {"content": text}, "finish_reason": reason}], "usage": usage}


def openai_refuses(*names: str, also: Answer = good) -> Answer:
    """As reasoning models do: a code, and the first parameter that is not for them."""

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        for name in names:
            if name in body:
                error = {"message": f"'{name}' is not for this model.", "type": "invalid_request_error", "param": name}
                return 400, {"error": error | {"code": "unsupported_parameter"}}
        return also(body)

    return answer


def mistral_refuses(*names: str) -> Answer:
    """As its validator does: all of them at once."""

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        problems = [
            {"type": "extra_forbidden", "loc": ["body", name], "msg": "no such input", "input": 1}
            for name in names
            if name in body
        ]
        if problems:
            return 422, {
                "object": "error",
                "message": {"detail": problems},
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        return good(body)

    return answer
