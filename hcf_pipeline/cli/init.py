"""`hcf init FOLDER`: says what it found there, and writes an hcf.toml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.cli.console import Invocation, human_size, out
from hcf_pipeline.cli.turns import beginning
from hcf_pipeline.cli.words import refusal
from hcf_pipeline.errors import HcfError, UserError
from hcf_pipeline.few import listed
from hcf_pipeline.files import replace_text
from hcf_pipeline.text import one_line, well_formed

if TYPE_CHECKING:
    from hcf_pipeline.corpus.survey import Survey


N_NAMED = 8  # files and endings


def run_init(call: Invocation, folder: Path, host: str | None = None, *, force: bool) -> None:
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
    found = survey(folder, host)
    for row in _rows(found, call):
        out.print(one_line(row))
    if config.exists():
        config.replace(config.with_name(config.name + ".bak"))
    replace_text(config, found.toml(path))
    _prepare_dagster_dev(call, config)
    out.print(
        call.say(
            f"写好了 {config}。下一步：hcf check，然后 hcf refresh。",
            f"Wrote {config}. Next: hcf check, then hcf refresh.",
        )
    )


def _rows(found: Survey, call: Invocation) -> Iterator[str]:
    """What was found, a line each."""

    def counted(counts: Iterable[tuple[str, int]]) -> str:
        return listed([f"{name} ({n})" for name, n in counts], call.lang, N_NAMED)

    yield call.say(
        f"文件 {found.n_files} 个，{human_size(found.n_bytes)}；形式：{counted(found.forms.items())}；"
        f"编码：{counted(found.encodings.items())}",
        f"{found.n_files} files, {human_size(found.n_bytes)}; form: {counted(found.forms.items())}; "
        f"encoding: {counted(found.encodings.items())}",
    )
    also = call.say("、", ", ").join(found.also)
    yield call.say(
        f"主播：{found.host}（{found.labels[0][1]} 次{also and '，也写作 ' + also}；不对的话用 --host 指定）",
        f"host: {found.host} ({found.labels[0][1]} turns{also and ', also written ' + also}; --host names another)",
    )
    yield call.say("其他人：", "guests: ") + (
        counted(found.labels[1:]) or call.say("没有，只有主播说话", "none, only the host speaks")
    )
    yield call.say(
        f"文字里有说话人的占 {found.reading.spoken_share:.0%}；相邻两次发言换人的占 {found.reading.alternation:.0%}；有日期的：{found.n_dated} 个",
        f"text with a speaker: {found.reading.spoken_share:.0%}; turns that change sides: {found.reading.alternation:.0%}; "
        f"dated: {found.n_dated}",
    )
    for turn in found.shown:
        yield f"  {beginning(turn)}"
    if found.not_taken:
        named = counted(found.not_taken)
        yield call.say(
            f"行首像称呼、没有算作说话人的：{named}（是说话人就写进 guest_labels，不是就写进 not_labels）",
            f"begin lines as labels do and were taken for nobody: {named} (guest_labels for speakers, not_labels for words)",
        )
    for pattern, count in found.noise:
        yield call.say(f"杂讯：{pattern}（{count} 行）", f"noise: {pattern} ({count} lines)")
    if found.without_turns:
        named = listed([f"{path} ({refusal(why, call.lang)})" for path, why in found.without_turns], call.lang, N_NAMED)
        yield call.say(f"没有发言的文件：{named}", f"without turns: {named}")
    if found.other_endings:
        named = counted(found.other_endings)
        yield call.say(f"没有看的文件（别的后缀）：{named}", f"not looked at (other endings): {named}")
    if found.reading.is_doubtful(is_monologue=not found.guests):
        yield call.say(
            "注意：不少文字没有说话人，或两边很少轮流说话；请先用 hcf turns 文件 看一个文件读得对不对。",
            "Note: much of the text has no speaker, or the two sides rarely take turns; look with hcf turns FILE whether a file "
            "is read rightly.",
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
