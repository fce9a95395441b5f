"""`hcf init FOLDER`: says what it found there, and writes an hcf.toml."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hcf_pipeline.cli.console import Invocation, human_size, out
from hcf_pipeline.errors import HcfError, UserError
from hcf_pipeline.few import few
from hcf_pipeline.text import one_line, well_formed


def run_init(call: Invocation, folder: Path, *, force: bool) -> None:
    from hcf_pipeline.corpus.survey import survey
    from hcf_pipeline.settings.file import CONFIG_NAME

    config = (call.config or Path(CONFIG_NAME)).absolute()
    if config.exists() and not force:
        raise UserError(
            zh=f"{config} 已经存在，没有动它；要替换请加 --force（旧的会留作 {config.name}.bak）。",
            en=f"{config} exists and was left alone; --force replaces it (the old one is kept as {config.name}.bak).",
        )
    if not folder.is_dir():
        raise UserError(zh=f"没有目录 {folder}。", en=f"There is no folder {folder}.")
    inside = folder.resolve().is_relative_to(config.parent)
    path = (folder.resolve().relative_to(config.parent) if inside else folder.resolve()).as_posix()
    if path != well_formed(path):
        raise UserError(
            zh=f"{path} 的名字不是 UTF-8 编码，hcf.toml 里写不下它；请先改名。",
            en=f"The name of {path} is not UTF-8, so no hcf.toml can hold it; rename it first.",
        )
    found = survey(folder)
    rows = [
        call.say(
            f"文件 {found.n_files} 个，{human_size(found.n_bytes)}",
            f"{found.n_files} files, {human_size(found.n_bytes)}",
        ),
        call.say(f"主播：{found.host}（{found.labels[0][1]} 行）", f"host: {found.host} ({found.labels[0][1]} lines)"),
        call.say("其他人：", "guests: ")
        + few([f"{label} ({n})" for label, n in found.labels[1:]], call.lang, 12, "、"),
        call.say(f"文件名里有日期的：{found.n_dated} 个", f"dated file names: {found.n_dated}"),
    ]
    rows += [
        call.say(f"杂讯：{pattern}（{count} 行）", f"noise: {pattern} ({count} lines)")
        for pattern, count in found.noise
    ]
    if found.without_turns:
        names = few(found.without_turns, call.lang)
        rows.append(call.say(f"没有发言的文件：{names}", f"without turns: {names}"))
    for row in rows:
        out.print(one_line(row))
    if config.exists():
        config.replace(config.with_name(config.name + ".bak"))
    draft = config.with_name(f".{config.name}-{os.getpid()}")
    draft.write_text(found.toml(path), encoding="utf-8")
    draft.replace(config)
    _prepare_dagster_dev(call, config)
    out.print(
        call.say(
            f"写好了 {config}。下一步：hcf check，然后 hcf refresh。",
            f"Wrote {config}. Next: hcf check, then hcf refresh.",
        )
    )


def _prepare_dagster_dev(call: Invocation, config: Path) -> None:
    """Dagster wants the home to be there; what is wrong with it is told by the first command that needs it."""
    from hcf_pipeline.cli.refresh import prepare_dagster_dev
    from hcf_pipeline.defs.home import prepare_home
    from hcf_pipeline.settings.file import load_settings

    with suppress(HcfError):
        settings = load_settings(config, profile=call.profile, home=call.home)
        prepare_home(settings)
        prepare_dagster_dev(settings, call.lang)
