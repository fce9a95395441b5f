"""`hcf check --deep`: every byte of every artifact that is there, and of every model outside the store, is read."""

from __future__ import annotations

from collections.abc import Iterator

from hcf_pipeline.cli.console import Invocation, human_size
from hcf_pipeline.cli.findings import Finding
from hcf_pipeline.errors import HcfError
from hcf_pipeline.hub.models import POINTER, model_folder
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Store


def deep_findings(settings: Settings, call: Invocation) -> Iterator[Finding]:
    store = Store(settings.home)
    n_bytes, n_versions, n_bad = 0, 0, 0
    for asset in store.assets():
        current = store.readable(asset)
        for version in sorted(store.versions(asset)):
            n_versions += 1
            try:
                artifact = store.open(asset, version)
                store.verify(artifact)
                if POINTER in artifact.files:
                    model_folder(artifact, deep=True)
                n_bytes += artifact.size
            except HcfError as error:
                n_bad += 1
                is_current = current is not None and current.version == version
                yield Finding(
                    "artifact", "bad" if is_current else "warning", _words(call, asset, version, error, is_current)
                )
    if not n_bad:
        yield Finding(
            "artifacts",
            "ok",
            call.say(
                f"产物：{n_versions} 个版本、{human_size(n_bytes)}，逐字节校验无误",
                f"artifacts: {n_versions} versions, {human_size(n_bytes)}, every byte as it was published",
            ),
        )


def _words(call: Invocation, asset: str, version: str, error: HcfError, is_current: bool) -> str:
    """A refresh builds what is current; what only an earlier release has can't be brought back."""
    if is_current:
        return error.text(call.lang)
    return call.say(
        f"{asset} 的旧版本 {version} 已损坏；只有以前的发布用到它，那个发布不能再服务（hcf release list）",
        f"the old version {version} of {asset} is damaged; only an earlier release uses it, and that one cannot serve "
        "again (hcf release list)",
    )
