"""Why an asset is stale, in words: which setting went from what to what, which transcripts came, changed or went.

Dagster's own reasons are fixed texts; these stand in `hcf status`, in the metadata of materializations and in a tag of
the run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hcf_pipeline.errors import HcfError, Lang
from hcf_pipeline.store import Recipe, Store

N_NAMED = 3
VALUE_CHARS = 40


@dataclass(frozen=True)
class Why:
    """One reason, in words."""

    zh: str
    en: str

    def text(self, lang: Lang) -> str:
        return self.zh if lang == "zh" else self.en


NEVER_BUILT = Why("还没有生成过", "never built")


def why_stale(store: Store, made_by: Recipe | None, now: Recipe) -> tuple[Why, ...]:
    """What differs between the recipe that an asset was made by and the one it would be made by now."""
    if made_by is None:
        return (NEVER_BUILT,)
    return (*_settings(made_by.settings, now.settings), *_logic(made_by, now), *_inputs(store, made_by, now))


def both_languages(reasons: Sequence[Why]) -> str:
    return f"{'；'.join(why.zh for why in reasons)} | {'; '.join(why.en for why in reasons)}"


def _settings(before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[Why]:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield _changed(name, before.get(name), now.get(name))


def _changed(name: str, before: object, now: object) -> Why:
    if setting := re.fullmatch(r"([a-z_]+)\.([a-z_0-9]+)", name):
        words = f"[{setting[1]}] {setting[2]} {_value(before)} → {_value(now)}"
        return Why(f"设置 {words}", f"setting {words}")
    kind, _, rest = name.partition(" ")  # "library torch", "file questions.jsonl", "files of ~/model"
    zh = {"library": "库", "file": "文件", "files": "文件"}.get(kind, kind)
    if kind == "library":
        words = f"{rest} {before or 'none'} → {now or 'none'}"
        return Why(f"{zh} {words}", f"{kind} {words}")
    return Why(f"{zh} {rest.removeprefix('of ')} 变了", f"{kind} {rest} changed")


def _logic(before: Recipe, now: Recipe) -> Iterator[Why]:
    if before.revision != now.revision:
        words = f"{before.revision} → {now.revision}"
        yield Why(f"生成它的程序变了（版次 {words}）", f"its code changed (revision {words})")


def _inputs(store: Store, before: Recipe, now: Recipe) -> Iterator[Why]:
    for name in sorted(before.inputs.keys() | now.inputs.keys()):
        old, new = before.inputs.get(name), now.inputs.get(name)
        if old == new:
            continue
        if old is None or new is None:
            yield Why(f"{name} 是否用到变了", f"whether it reads {name} changed")
        else:
            yield _input_change(store, name, old, new)


def _input_change(store: Store, name: str, old: str, new: str) -> Why:
    from hcf_pipeline.corpus.differences import differences_of

    try:
        found = differences_of(store.open(name, old), store.open(name, new))
    except HcfError:
        found = None  # the old version is no longer there
    if found is None or not found:
        return Why(f"{name} 有了新版本 {old[:8]} → {new[:8]}", f"{name} has a new version, {old[:8]} → {new[:8]}")
    return Why(f"{name}：{found.text('zh')}", f"{name}: {found.text('en')}")


def _value(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1] + "…"
