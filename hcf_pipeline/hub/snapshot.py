"""A real model as a folder: a pinned snapshot of the Hub, or a local folder as it is.

Only safetensors, JSON and tokenizer files are fetched: nothing that runs code when it is loaded. `HF_ENDPOINT`,
`HF_HUB_OFFLINE` and `HF_HOME` work as everywhere; huggingface_hub reads them when it is first imported, so they have
to be set before the process starts. A pinned commit that the cache holds costs no request.

What a call downloaded is checked against the Hub's digests before it is used. Files that were complete when a download
broke off are kept; a broken connection is taken up again at its byte within one call, a broken process is not.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hcf_pipeline.errors import HubError, SettingsError
from hcf_pipeline.files import file_sha256, hash_of, parsed_json
from hcf_pipeline.hub.errors import disk_full, endpoint, explain, not_cached
from hcf_pipeline.hub.models import (
    UNWANTED,
    WANTED,
    ModelSource,
    file_digests,
    is_wanted,
    matches,
    model_files,
    visible_files,
)
from hcf_pipeline.hub.token import Token, find_token
from hcf_pipeline.settings import HubSettings, Settings

Kind = Literal["language model", "encoder", "reranker"]

SETTING = {"language model": "[base] model", "encoder": "[encoder] model", "reranker": "[retrieval] reranker"}
REVISION = {
    "language model": "[base] revision",
    "encoder": "[encoder] revision",
    "reranker": "[retrieval] reranker_revision",
}
COMMIT = re.compile(r"[0-9a-f]{40}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A model's files; `revision` is the commit (40 hex digits), or the hash of a local folder's files (20)."""

    path: Path
    model: str
    revision: str
    source: Literal["hub", "folder"]


def fetch_snapshot(model: str, revision: str, hub: HubSettings, kind: Kind, cache: Path | None = None) -> Snapshot:
    """The model's files on this machine, downloaded where they are not here yet.

    `model` is a Hub id, or a folder: one that exists, or anything written as a path (`./x`, `~/x`, `/x`).
    Raises SettingsError for what is neither, HubError for everything else that goes wrong.
    """
    folder = Path(model).expanduser()
    if folder.is_dir() or model.startswith((".", "~", "/", "\\")) or folder.is_absolute():
        return _local(model, folder.absolute(), kind)
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        raise SettingsError(
            zh=f"{SETTING[kind]} = “{model}”既不是已有的文件夹，也不是 Hub 上“组织/名称”形式的模型名；请改正。",
            en=f'{SETTING[kind]} = "{model}" is neither a folder that exists nor a Hub id (owner/name); correct it.',
        ) from None
    cache = cache or Path(constants.HF_HUB_CACHE)
    offline = constants.is_offline_mode()
    if (COMMIT.fullmatch(revision) or offline) and (found := _cached(model, revision, cache, kind)):
        return found
    if offline:
        raise not_cached(model, revision, cache)
    token = find_token(hub)
    try:
        return _download(model, revision, token, kind, cache)
    except Exception as error:
        if _is_network(error) and (found := _cached(model, revision, cache, kind)):
            log.warning("%s cannot be reached; using %s as cached, commit %s", endpoint(), model, found.revision)
            return found
        raise explain(error, model=model, revision=revision, token=token, cache=cache) from None


def pinned_model(settings: Settings, model: str, revision: str, kind: Kind) -> ModelSource:
    """A model that a setting names, fetched where it is not here yet, pinned by its commit and by the hash of each file.

    A relative folder is meant from hcf.toml, wherever the process runs. Raises what `fetch_snapshot` does, and HubError
    where a file in the Hub's cache is no longer the one that was downloaded.
    """
    found = fetch_snapshot(str(settings.own_folder(model) or model), revision, settings.sections.hub, kind)
    files = file_digests(found.path, settings.home)
    for name, digest in files.items():
        blob = (found.path / name).resolve()
        if found.source == "hub" and blob.parent.name == "blobs" and len(blob.name) == 64 and blob.name != digest:
            raise _altered(found.path / name, model)
    return ModelSource(found.source, found.model, found.revision, str(found.path), files)


def _local(model: str, folder: Path, kind: Kind) -> Snapshot:
    if not folder.is_dir():
        raise SettingsError(
            zh=f"{SETTING[kind]} 写的文件夹 {folder} 不存在；请改正路径，或写 Hub 上的模型名（组织/名称）。",
            en=f"{SETTING[kind]} names the folder {folder}, which is not there; "
            "correct the path, or name a model of the Hub (owner/name).",
        )
    _require_complete(folder, model, kind)
    digests = {name: file_sha256(path) for name, path in model_files(folder).items()}
    return Snapshot(folder, model, hash_of(digests), "folder")


def _cached(model: str, revision: str, cache: Path, kind: Kind) -> Snapshot | None:
    """The snapshot in the cache if it is whole; makes no request."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = Path(
            snapshot_download(
                model,
                revision=revision,
                cache_dir=cache,
                local_files_only=True,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
            )
        )
        _require_complete(path, model, kind)
    except (LocalEntryNotFoundError, HubError):
        return None
    return Snapshot(path, model, path.name, "hub")


def _download(model: str, revision: str, token: Token | None, kind: Kind, cache: Path) -> Snapshot:
    from huggingface_hub import HfApi, constants, snapshot_download

    secret = token.value if token else False  # False: no other token of this machine either
    info = HfApi().model_info(
        model, revision=revision, files_metadata=True, token=secret, timeout=constants.HF_HUB_ETAG_TIMEOUT
    )
    listed = info.siblings or []
    _require_loadable({file.rfilename for file in listed}, model, kind)
    blobs = cache / f"models--{model.replace('/', '--')}" / "blobs"
    here = {file.name for file in blobs.iterdir()} if blobs.is_dir() else set()
    needed = sum(
        file.size or 0
        for file in listed
        if is_wanted(file.rfilename) and (file.lfs.sha256 if file.lfs else file.blob_id) not in here
    )
    if needed and needed > (free := _free(cache)):
        raise disk_full(cache, needed=needed, free=free)
    path = Path(
        snapshot_download(
            model,
            revision=revision,
            cache_dir=cache,
            token=secret,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    )
    _require_digests(path, here, model)
    _require_complete(path, model, kind)
    return Snapshot(path, model, path.name, "hub")


def _require_digests(path: Path, known: set[str], model: str) -> None:
    """Compares each new file with the digest that it is stored under; huggingface_hub looks at its size alone.

    A file that differs is removed, so that the next call fetches it again. Where the cache has no links (Windows),
    only sizes and headers are checked.
    """
    for file in visible_files(path).values():
        blob = file.resolve()
        if blob.parent.name != "blobs" or blob.name in known:
            continue
        digest = {64: file_sha256, 40: _git_sha1}.get(len(blob.name))
        if digest and digest(blob) != blob.name:
            raise _altered(file, model)


def _altered(file: Path, model: str) -> HubError:
    """Removes a file of the cache whose bytes are not those that it is stored under; the next call fetches it again."""
    blob = file.resolve()
    file.unlink()
    blob.unlink()
    return HubError(
        zh=f"从 {endpoint()} 下载的 {model} 文件 {file.name} 校验和不符，已删除；请再运行一次，"
        "若仍不符请换一个镜像（HF_ENDPOINT）。",
        en=f"{file.name} of {model}, downloaded from {endpoint()}, does not have its checksum and was removed; "
        "run this again, and if it comes back use another mirror (HF_ENDPOINT).",
    )


def _require_loadable(names: Iterable[str], model: str, kind: Kind) -> None:
    """Refuses, by its list of files alone, what could not be loaded without running foreign code."""
    names = {name for name in names if not matches(name, UNWANTED)}
    safe = {name.rpartition("/")[0] for name in names if name.endswith(".safetensors")}
    pickled = {name.rpartition("/")[0] for name in names if re.search(r"(^|/)pytorch_model[^/]*\.bin$", name)}
    missing = ("" not in safe if kind == "language model" else not safe) or (
        kind != "language model" and pickled - safe
    )
    if missing:
        raise HubError(
            zh=f"{model} 没有 safetensors 权重，而 .bin 等格式加载时会执行代码，因此不用；请先转换"
            f"（https://huggingface.co/spaces/safetensors/convert 会开一个 PR，"
            f"把 {REVISION[kind]} 设为 refs/pr/编号），或换一个模型。",
            en=f"{model} has no safetensors weights, and formats such as .bin run code when loaded, "
            "so they are not used; convert it (https://huggingface.co/spaces/safetensors/convert opens a pull request: "
            f"set {REVISION[kind]} to refs/pr/NUMBER), or choose another model.",
        )
    if "config.json" not in names and not (kind == "encoder" and "modules.json" in names):
        raise HubError(
            zh=f"{model} 里没有 config.json，不是 transformers 模型；请检查 {SETTING[kind]}。",
            en=f"{model} has no config.json, so it is no transformers model; check {SETTING[kind]}.",
        )


def _require_complete(folder: Path, model: str, kind: Kind) -> None:
    """Refuses a folder with shards missing, or weights cut short."""
    from safetensors import SafetensorError, safe_open

    files = visible_files(folder)
    _require_loadable(files, model, kind)
    for name, path in files.items():
        if not is_wanted(name):
            continue
        try:
            if name.endswith(".safetensors.index.json"):
                at = name.rpartition("/")[0]
                shards = set(parsed_json(path.read_text(encoding="utf-8"))["weight_map"].values())
                if gone := sorted(shard for shard in shards if f"{at}/{shard}".lstrip("/") not in files):
                    raise HubError(
                        zh=f"{folder} 缺少权重分片 {gone[0]}（{name} 列出 {len(shards)} 个，缺 {len(gone)} 个）；"
                        "请补齐，或重新下载。",
                        en=f"{folder} lacks the shard {gone[0]} ({name} lists {len(shards)}, {len(gone)} are missing); "
                        "add them, or download the model again.",
                    )
            elif name.endswith(".safetensors"):
                with safe_open(path, framework="numpy"):  # compares the header with the file's size
                    pass
        except (SafetensorError, ValueError, KeyError, AttributeError):
            raise HubError(
                zh=f"{path} 不完整或已损坏；请删除它，再运行一次（本地文件夹请重新复制）。",
                en=f"{path} is cut short or damaged; delete it and run this again (copy a local folder anew).",
            ) from None


def _is_network(error: Exception) -> bool:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    failed_inside = isinstance(error, HfHubHTTPError) and error.response.status_code >= 500
    return failed_inside or isinstance(error, httpx2.TransportError)


def _free(folder: Path) -> int:
    """Bytes left where the folder is, or will be."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def _git_sha1(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha1(f"blob {os.fstat(file.fileno()).st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
