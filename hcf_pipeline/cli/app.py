"""The commands: what each takes, and the module that does it. Heavy imports wait until a command needs them."""

from __future__ import annotations

import datetime
import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer

from hcf_pipeline.cli.console import Invocation, err, language, out, show_error
from hcf_pipeline.cli.parser import Commands, parsed
from hcf_pipeline.cli.streams import guard_streams
from hcf_pipeline.cli.whose_code import RUNNING, require_own_code
from hcf_pipeline.errors import HcfError
from hcf_pipeline.rag.search.periods import Span
from hcf_pipeline.store.disk import disk_trouble
from hcf_pipeline.text import argument_text

LANG = language(sys.argv)


def _t(zh: str, en: str) -> str:
    return zh if LANG == "zh" else en


app = Commands(
    name="hcf",
    help=_t(
        "把主播的直播文字稿变成会像他那样说话、记得他说过什么的聊天模型。",
        "From a streamer's transcripts to a chat model that talks like them and knows what they said.",
    ),
)
corpus_app = Commands(help=_t("取得文稿", "Bring a corpus"))
app.add_typer(corpus_app, name="corpus")
release_app = Commands(help=_t("查看发布，回退到以前的发布", "Releases, and the way back to one"))
app.add_typer(release_app, name="release")

Day = Annotated[
    datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help=_t("只要这天及以后的", "from that day on"))
]
LastDay = Annotated[
    datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help=_t("只要这天及以前的", "up to that day"))
]
Tried = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", help=_t("试一个设置而不发布：section.key=value", "tries a setting without a release")),
]
Json = Annotated[bool, typer.Option("--json", help=_t("标准输出只有一个 JSON", "one JSON document on stdout"))]


@app.callback(invoke_without_command=True)
def globals_(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help=_t("配置文件，默认 ./hcf.toml", "settings file, default ./hcf.toml"))
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(help=_t("配置档：embedded、qwen、gte-base、qwen3", "profile: embedded, qwen, gte-base or qwen3")),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(help=_t("产物目录，默认 hcf.toml 旁的 .hcf", "artifact home, default .hcf beside hcf.toml")),
    ] = None,
    lang: Annotated[str, typer.Option(help="zh | en")] = LANG,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help=_t("版本，连同它所依赖的（可加 --json）", "the versions, with --json as a document")
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", hidden=True)] = False,
) -> None:
    if lang not in ("zh", "en"):
        raise typer.BadParameter("zh | en", param_hint="--lang")
    if version:
        from hcf_pipeline.cli.version import show_version

        show_version(as_json=as_json)
        raise typer.Exit()
    if as_json:
        raise typer.BadParameter(_t("要写在命令后面", "belongs behind the command"), param_hint="--json")
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")
    if other := require_own_code():
        err.print(
            _t(
                f"注意：运行的是 {RUNNING} 的代码，不是当前目录 {other} 的；要用这里的，请运行 python3 hcf.py …。",
                f"Note: this runs the code of {RUNNING}, not that of the working folder {other}; python3 hcf.py … runs that.",
            )
        )
    ctx.obj = Invocation(LANG, config, profile, home)


@app.command(
    help=_t("用示例文稿跑完整条流水线，再问三个问题", "The whole pipeline on the sample corpus, then three questions")
)
def demo(ctx: typer.Context) -> None:
    from hcf_pipeline.cli.demo import run_demo

    run_demo(ctx.obj)


@app.command(help=_t("更新过期的产物，其余不动", "Materialize what is stale, and nothing else"))
def refresh(
    ctx: typer.Context,
    as_json: Json = False,
    refit: Annotated[
        bool, typer.Option("--refit", help=_t("重新拟合内置的小模型", "fit the embedded models anew"))
    ] = False,
    no_train: Annotated[
        bool, typer.Option("--no-train", help=_t("更新其余一切，但不训练", "all but what belongs to training"))
    ] = False,
) -> None:
    from hcf_pipeline.cli.refresh import run_refresh

    run_refresh(ctx.obj, as_json=as_json, refit=refit, train=not no_train)


@app.command(help=_t("每个产物：新的还是过期的，为什么", "Each asset: fresh or stale, and why"))
def status(ctx: typer.Context, as_json: Json = False) -> None:
    from hcf_pipeline.cli.status import run_status

    run_status(ctx.obj, as_json=as_json)


def _span(since: datetime.datetime | None, until: datetime.datetime | None) -> Span:
    if since and until and since > until:
        raise typer.BadParameter(_t("--since 晚于 --until", "--since lies after --until"))
    return since and since.date(), until and until.date()


@app.command(help=_t("在文稿里找", "Search the transcripts"))
def retrieve(
    ctx: typer.Context,
    question: Annotated[str | None, typer.Argument(help=_t("问题", "the question"))] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            min=1,
            max=1000,
            help=_t("要几段（--broadcasts 时是几场）", "how many chunks (with --broadcasts: how many broadcasts)"),
        ),
    ] = None,
    broadcasts: Annotated[
        bool, typer.Option("--broadcasts", help=_t("每场只要最好的一段", "the best chunk of each broadcast alone"))
    ] = False,
    questions: Annotated[
        Path | None, typer.Option(help=_t("JSONL 文件，每行一个 question", "JSONL file, a question on each line"))
    ] = None,
    since: Day = None,
    until: LastDay = None,
    tried: Tried = None,
    as_json: Json = False,
) -> None:
    from hcf_pipeline.cli.retrieve import run_retrieve

    if (question is None) == (questions is None):
        raise typer.BadParameter(_t("给一个问题，或给 --questions 文件", "give a question, or --questions FILE"))
    asked = None if question is None else argument_text(question)
    run_retrieve(ctx.obj, asked, questions, k, _span(since, until), tried or [], broadcasts=broadcasts, as_json=as_json)


@app.command(help=_t("问一个问题", "One question, one answer"))
def ask(
    ctx: typer.Context,
    question: Annotated[
        str, typer.Argument(help=_t("问题；- 表示从标准输入读", "the question; - reads it from standard input"))
    ],
    since: Day = None,
    until: LastDay = None,
    timeline: Annotated[
        bool, typer.Option("--timeline", help=_t("逐月列出，同 hcf timeline", "month by month, as hcf timeline"))
    ] = False,
    tried: Tried = None,
    as_json: Json = False,
) -> None:
    from hcf_pipeline.cli.ask import run_ask
    from hcf_pipeline.cli.timeline import run_timeline

    run = run_timeline if timeline else run_ask
    run(ctx.obj, argument_text(question), _span(since, until), tried or [], as_json=as_json)


@app.command(
    "timeline",
    help=_t(
        "一件事他逐月说过什么，前后说法有没有不同",
        "What was said on a matter month by month, and where it was put otherwise",
    ),
)
def timeline_(
    ctx: typer.Context,
    question: Annotated[
        str,
        typer.Argument(help=_t("问题或话题；- 表示从标准输入读", "question or topic; - reads it from standard input")),
    ],
    since: Day = None,
    until: LastDay = None,
    tried: Tried = None,
    as_json: Json = False,
) -> None:
    from hcf_pipeline.cli.timeline import run_timeline

    run_timeline(ctx.obj, argument_text(question), _span(since, until), tried or [], as_json=as_json)


@app.command(help=_t("他真的说过这句话吗？", "Did he really say that?"))
def verify(
    ctx: typer.Context,
    quote: Annotated[str | None, typer.Argument(help=_t("要核对的话", "the quotation"))] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help=_t("文件，一行一句", "a file with a quotation on each line"))
    ] = None,
    as_json: Json = False,
) -> None:
    from hcf_pipeline.cli.verify import run_verify

    if (quote is None) == (file is None):
        raise typer.BadParameter(_t("给一句话，或给 --file 文件", "give a quotation, or --file FILE"))
    run_verify(ctx.obj, None if quote is None else argument_text(quote), file, as_json=as_json)


@app.command(help=_t("聊天；停止 / exit / 退出 结束", "Chat; 停止 / exit / 退出 ends it"))
def chat(ctx: typer.Context, since: Day = None, until: LastDay = None, tried: Tried = None) -> None:
    from hcf_pipeline.cli.chat import run_chat

    run_chat(ctx.obj, _span(since, until), tried or [])


@app.command(help=_t("体检：磁盘、内存、显卡、令牌、文稿", "Preflight: disk, memory, GPU, token, corpus"))
def check(
    ctx: typer.Context,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help=_t("还逐字节校验所有产物和模型", "reads every byte of artifacts and models as well")
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    from hcf_pipeline.cli.check import run_check

    run_check(ctx.obj, deep=deep, as_json=as_json)


@app.command(help=_t("保存 Hugging Face 令牌", "Save a Hugging Face token"))
def login(ctx: typer.Context) -> None:
    from hcf_pipeline.cli.login import run_login

    run_login(ctx.obj)


@app.command(help=_t("看看一个文稿目录，为它写 hcf.toml", "Look at a folder of transcripts and write its hcf.toml"))
def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help=_t("文稿目录", "the folder"))],
    host: Annotated[
        str | None, typer.Option(help=_t("主播的称呼，默认说得最多的人", "the persona's label, default who says most"))
    ] = None,
    force: Annotated[bool, typer.Option("--force", help=_t("覆盖已有的 hcf.toml", "replace an hcf.toml"))] = False,
) -> None:
    from hcf_pipeline.cli.init import run_init

    run_init(ctx.obj, folder, None if host is None else argument_text(host), force=force)


@app.command(help=_t("一个文件是怎样读的：谁说了什么", "How one file is read: who says what"))
def turns(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help=_t("文稿文件", "the file"))],
    as_json: Json = False,
) -> None:
    from hcf_pipeline.cli.turns import run_turns

    run_turns(ctx.obj, file, as_json=as_json)


@app.command(help=_t("打开 Dagster 界面（网页和守护进程）", "The Dagster UI (webserver and daemon) on this home"))
def ui(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help=_t("在哪里监听，默认 [serve] host", "where to listen"))] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help=_t("端口，默认 [serve] port", "its port"))] = None,
) -> None:
    from hcf_pipeline.cli.ui import run_ui

    run_ui(ctx.obj, host, port)


@app.command(help=_t("清理不再需要的旧产物", "Clear away old artifacts that nothing needs"))
def gc(
    ctx: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=_t("只列出，不删除", "tell what would go, remove nothing"))
    ] = False,
    as_json: Json = False,
) -> None:
    from hcf_pipeline.cli.gc import run_gc

    run_gc(ctx.obj, dry_run=dry_run, as_json=as_json)


@release_app.command("list", help=_t("现有的发布，新的在前", "The releases that are there, newest first"))
def release_list(ctx: typer.Context, as_json: Json = False) -> None:
    from hcf_pipeline.cli.release import run_list

    run_list(ctx.obj, as_json=as_json)


Beginning = Annotated[str | None, typer.Argument(help=_t("发布编号，可只写开头", "its id, or how it begins"))]


@release_app.command("show", help=_t("一个发布由什么组成", "What a release is made of"))
def release_show(ctx: typer.Context, release: Beginning = None, as_json: Json = False) -> None:
    from hcf_pipeline.cli.release import run_show

    run_show(ctx.obj, release, as_json=as_json)


@release_app.command(
    "rollback", help=_t("让以前的发布重新服务（默认上一个）", "Let an earlier release serve (default: the one before)")
)
def release_rollback(
    ctx: typer.Context,
    release: Beginning = None,
    hold: Annotated[
        Literal["adapter", "index", "all", "nothing"] | None,
        typer.Option(
            help=_t(
                "新的发布不再用被退下的：adapter | index | all | nothing（默认：两者不同的部分）",
                "what new releases shall not take again: adapter | index | all | nothing (default: what differs)",
            )
        ),
    ] = None,
) -> None:
    from hcf_pipeline.cli.release import run_rollback

    run_rollback(ctx.obj, release, hold)


@release_app.command("lift", help=_t("解除回退时扣住的，最新的可以再发布", "Ends the hold of a rollback"))
def release_lift(ctx: typer.Context) -> None:
    from hcf_pipeline.cli.release import run_lift

    run_lift(ctx.obj)


@corpus_app.command(help=_t("把 Git 文稿库克隆或更新到 data/", "Clone or update a Git corpus into data/"))
def fetch(
    ctx: typer.Context,
    source: Annotated[
        str | None, typer.Argument(help=_t("Git 地址或目录，默认 [corpus] git_url", "Git URL or folder"))
    ] = None,
) -> None:
    from hcf_pipeline.cli.corpus import run_fetch

    run_fetch(ctx.obj, source)


INTERRUPTED = 130


def main() -> None:
    """Exit codes: 0 well, 1 the user's (or a bug, with its traceback), 2 usage, 3 the environment's, 130 interrupted,
    141 where nobody reads the output any more."""
    guard_streams()
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code = parsed(app, arguments)
        out.flush()
    except HcfError as error:
        show_error(error, LANG)
        return error.exit_code
    except SystemExit:
        raise
    except BaseException as error:
        if told := disk_trouble(error):
            show_error(told, LANG)
            return told.exit_code
        if not _interrupted(error):
            err.print("".join(traceback.format_exception(error)), end="")
            return 1
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer makes it of a KeyboardInterrupt
        err.print(_t("中断了；再运行一次，会接着做。", "Interrupted; the next run goes on from here."))
    return code


def _interrupted(error: BaseException) -> bool:
    """Ctrl-C, also where Dagster gave it a name of its own (looked up without importing Dagster)."""
    return isinstance(error, KeyboardInterrupt) or type(error).__name__ == "DagsterExecutionInterruptedError"
