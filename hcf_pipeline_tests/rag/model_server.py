"""A small server of embeddings and scores on loopback, such as Ollama, TEI and vLLM are, with their failures.

    with ModelServer() as server:
        EncoderSettings(model="tiny", base_url=server.base_url)

A text's vector is the sum of fixed random directions, one for each of its pairs of characters: texts with words in common
lie near to each other, and another `seed` is another model.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import numpy as np


@dataclass
class ModelServer:
    """What it does wrong is set in its attributes, before or between requests."""

    seed: int = 0
    dim: int = 32
    port: int = 0  # 0: a free one
    noise: float = 0.0  # of each number, as another machine or half precision gives
    key: str | None = None
    max_batch: int = 10**9
    tei: bool = False  # its reranker takes texts, and no documents
    statuses: list[int] = field(default_factory=list)  # of the next answers; 0 breaks the connection off
    retry_after: str = ""
    echo: str = ""  # what it says is wrong
    body: bytes | None = None  # every answer
    spoil: Any = None  # what becomes of the rows that it would answer
    delay_s: float = 0.0
    hold_after: int = 10**9  # texts after which it answers no more
    held: threading.Event = field(default_factory=threading.Event)
    asked: list[dict[str, Any]] = field(default_factory=list)  # the bodies of all requests
    authorizations: list[str | None] = field(default_factory=list)

    def __enter__(self) -> Self:
        server = self

        class Handler(_Handler):
            pass

        Handler.server_of = server
        self._server = _Quiet(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def rerank_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/rerank"

    @property
    def texts(self) -> list[str]:
        """All texts that it was asked to embed, in order."""
        return [text for body in self.asked for text in body.get("input", [])]

    def vector(self, text: str) -> list[float]:
        pairs = [text[at : at + 2] for at in range(len(text))]
        parts = [
            np.random.default_rng([self.seed, zlib.crc32(pair.encode())]).standard_normal(self.dim) for pair in pairs
        ]
        noise = np.random.default_rng(len(self.asked)).standard_normal(self.dim) * self.noise
        return [float(number) for number in np.sum(parts, axis=0) * 3 + noise]


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed, or no longer waits."""


class _Handler(BaseHTTPRequestHandler):
    server_of: ModelServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server_of
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.authorizations.append(self.headers["Authorization"])
        status = server.statuses.pop(0) if server.statuses else 200
        if len(server.texts) + len(body.get("input", [])) > server.hold_after:
            server.held.wait(60)
        time.sleep(server.delay_s)
        server.asked.append(body)
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        if server.key and self.headers["Authorization"] != f"Bearer {server.key}":
            status = 401
        texts = body.get("input") or body.get("documents") or body.get("texts") or []
        if len(texts) > server.max_batch:
            status = 413
        if self.path == "/rerank" and server.tei == ("documents" in body):
            status = 422
        if status != 200:
            return self._send({"error": {"message": server.echo or f"status {status}"}}, status)
        rows = self._scores(body, texts) if self.path == "/rerank" else self._vectors(texts)
        rows = server.spoil(rows) if server.spoil else rows
        self._send(rows if server.tei else {"results": rows} if self.path == "/rerank" else {"data": rows})

    def _vectors(self, texts: list[str]) -> list[dict[str, Any]]:
        return [{"index": at, "embedding": self.server_of.vector(text)} for at, text in enumerate(texts)]

    def _scores(self, body: dict[str, Any], texts: list[str]) -> list[dict[str, Any]]:
        """The more characters of the question a text has, the better; the best first, as servers do it."""
        name = "score" if self.server_of.tei else "relevance_score"
        scores = [len(set(body["query"]) & set(text)) + len(text) / 1e6 for text in texts]
        return sorted(({"index": at, name: score} for at, score in enumerate(scores)), key=lambda row: -row[name])

    def _send(self, value: object, status: int = 200) -> None:
        data = json.dumps(value).encode() if self.server_of.body is None else self.server_of.body
        self.send_response(status)
        if self.server_of.retry_after:
            self.send_header("Retry-After", self.server_of.retry_after)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
