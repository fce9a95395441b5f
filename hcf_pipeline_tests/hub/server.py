"""A small Hub on loopback: the endpoints that huggingface_hub 2.4 asks for a model's snapshot, and its failures.

    with FakeHub() as hub:
        hub.add("owner/model", tiny_model())
        subprocess.run(..., env=hub.environment(tmp_path))

huggingface_hub reads HF_ENDPOINT when it is imported, so whatever talks to this Hub runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import numpy as np


@dataclass
class FakeModel:
    files: dict[str, bytes]
    commit: str
    branches: dict[str, str]  # branch or tag → commit
    gated: bool = False
    private: bool = False


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    host: str
    byte_range: str | None
    authorization: str | None


@dataclass
class FakeHub:
    """What it does wrong is set in its attributes, before or between requests."""

    models: dict[str, FakeModel] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # token → user name
    asked: list[Asked] = field(default_factory=list)
    status: int | None = None  # every answer
    delay_s: float = 0  # before every answer
    web_page: bool = False  # answers everything with HTML and 200, as a log-in page does
    cuts: dict[str, list[int]] = field(default_factory=dict)  # file → bytes after which its next answers break off
    corrupt: set[str] = field(default_factory=set)  # files that come with another last byte
    sizes: dict[str, int] = field(default_factory=dict)  # file → the size that is claimed
    storage_host: str | None = None  # large files are redirected to this name of the same machine

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, name: str, files: dict[str, bytes], **traits: bool) -> FakeModel:
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.models[name] = FakeModel(dict(files), commit, {"main": commit}, **traits)
        return self.models[name]

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """A bare environment: this Hub, a home and a cache below `home`, no token of this machine."""
        bare = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
        return {**bare, "HF_HOME": str(home / "hf"), "HF_ENDPOINT": self.url, "NO_PROXY": "*", **more}


def tiny_model(values: int = 64, *, seed: int = 0) -> dict[str, bytes]:
    """The files of a model with one tensor of so many float32 values, and what should not be fetched beside them."""
    from safetensors.numpy import save

    weights = np.random.default_rng(seed).standard_normal(values).astype(np.float32)
    return {
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "README.md": b"# tiny\n",
        "config.json": b'{"model_type": "qwen2"}',
        "tokenizer.json": b'{"version": "1.0"}',
        "merges.txt": b"#version: 0.2\n",
        "chat_template.jinja": b"{{ messages }}",
        "model.safetensors": save({"weight": weights}),
        "pytorch_model.bin": b"a pickle",
        "modeling_tiny.py": b"raise SystemExit('ran foreign code')\n",
        "onnx/model.onnx": b"onnx",
        "onnx/config.json": b"{}",
    }


def sharded_model(shards: int = 2) -> dict[str, bytes]:
    from safetensors.numpy import save

    files = {"config.json": b'{"model_type": "qwen2"}'}
    places = {}
    for number in range(1, shards + 1):
        name = f"model-{number:05}-of-{shards:05}.safetensors"
        places[f"weight{number}"] = name
        files[name] = save({f"weight{number}": np.full(8, number, np.float32)})
    files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": places}).encode()
    return files


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:  # noqa: PLR0911 - one return for each page
        hub, headers = self.hub, self.headers
        path = unquote(urlsplit(self.path).path)
        hub.asked.append(
            Asked(self.command, path, headers["Host"].split(":")[0], headers["Range"], headers["Authorization"])
        )
        if hub.delay_s:
            time.sleep(hub.delay_s)
        if hub.status:
            return self._fail(hub.status, "", "it is broken")
        if hub.web_page:
            return self._send(b"<html>please log in</html>", kind="text/html")
        if path == "/api/agent-harnesses":
            return self._json({"standardEnvVars": [], "harnesses": {}})
        token = (headers["Authorization"] or "").removeprefix("Bearer ")
        if stored := re.fullmatch(r"/storage/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)", path):
            return self._file(hub.models[stored[1]], stored[3])
        if token and token not in hub.tokens:
            # An echo such as no server should make: the sentences must not pass it on.
            return self._fail(401, "", "Invalid credentials in Authorization header", body=f"you sent {token}")
        if path == "/api/whoami-v2":
            if not token:
                return self._fail(401, "", "Invalid username or password.")
            user = hub.tokens[token]
            return self._json({"name": user, "auth": {"accessToken": {"displayName": "laptop", "role": "read"}}})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(.+)", path):
            return self._about(found[1], found[2], found[3], token)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(found[1], found[2], found[3], token)
        return self._fail(404, "", "no such page")

    def _model(self, name: str, revision: str, token: str) -> tuple[FakeModel, str] | None:
        model = self.hub.models.get(name)
        if model is None or (model.private and not token):
            # As the real one: whether it exists is not told to strangers.
            self._fail(404 if token else 401, "RepoNotFound", "Repository not found")
            return None
        commit = revision if revision == model.commit else model.branches.get(revision)
        if commit is None:
            self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return model, commit

    def _about(self, name: str, what: str, revision: str, token: str) -> None:
        if (found := self._model(name, revision, token)) is None:
            return
        model, commit = found
        if what == "revision":
            siblings = [
                {"rfilename": f, "size": self._size(f, data), "blobId": _git_sha1(data), **self._lfs(f, data, "sha256")}
                for f, data in model.files.items()
            ]
            gated = "manual" if model.gated else False
            return self._json({"id": name, "sha": commit, "private": False, "gated": gated, "siblings": siblings})
        return self._json(
            [
                {
                    "type": "file",
                    "path": f,
                    "size": self._size(f, data),
                    "oid": _git_sha1(data),
                    **self._lfs(f, data, "oid"),
                }
                for f, data in model.files.items()
            ]
        )

    def _resolve(self, name: str, revision: str, file: str, token: str) -> None:
        if (found := self._model(name, revision, token)) is None:
            return
        model, commit = found
        if model.gated:
            return self._fail(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted")
        if file not in model.files:
            return self._fail(404, "EntryNotFound", "Entry not found")
        data = model.files[file]
        if self.hub.storage_host and _is_large(file):
            headers = {
                "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{_etag(file, data)}"',
                "X-Linked-Size": str(self._size(file, data)),
                "Location": f"http://{self.hub.storage_host}:{self.hub.port}/storage/{name}/{commit}/{file}",
            }
            return self._send(b"", status=302, headers=headers)
        return self._file(model, file, commit)

    def _file(self, model: FakeModel, file: str, commit: str | None = None) -> None:
        data = model.files[file]
        headers = {"ETag": f'"{_etag(file, data)}"', "X-Repo-Commit": commit or model.commit, "Accept-Ranges": "bytes"}
        if file in self.hub.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.command == "HEAD":
            headers["X-Linked-Size"] = str(self._size(file, data))
            return self._send(data, headers=headers)
        status, start = 200, 0
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or ""):
            start = int(wanted[1])
            status, headers["Content-Range"] = 206, f"bytes {start}-{len(data) - 1}/{len(data)}"
        cuts = self.hub.cuts.get(file)
        return self._send(data[start:], status=status, headers=headers, cut=cuts.pop(0) if cuts else None)

    def _size(self, file: str, data: bytes) -> int:
        return self.hub.sizes.get(file, len(data))

    def _lfs(self, file: str, data: bytes, digest: str) -> dict[str, object]:
        if not _is_large(file):
            return {}
        sha256 = hashlib.sha256(data).hexdigest()
        return {"lfs": {digest: sha256, "size": self._size(file, data), "pointerSize": 134}}

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), kind="application/json")

    def _fail(self, status: int, code: str, message: str, body: str = "") -> None:
        headers = {"X-Error-Message": message}
        if code:
            headers["X-Error-Code"] = code
        self._send(json.dumps({"error": body or message}).encode(), status=status, headers=headers)

    def _send(
        self,
        data: bytes,
        *,
        status: int = 200,
        kind: str = "application/octet-stream",
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True


def _is_large(file: str) -> bool:
    return file.endswith((".safetensors", ".bin"))


def _etag(file: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if _is_large(file) else _git_sha1(data)


def _git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
