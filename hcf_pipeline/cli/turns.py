"""`hcf turns FILE`: how one file is read, turn by turn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.cli.answers import at_time
from hcf_pipeline.cli.console import Invocation, only_json, out, print_json
from hcf_pipeline.cli.words import refusal
from hcf_pipeline.errors import UserError
from hcf_pipeline.text import one_line

if TYPE_CHECKING:
    from hcf_pipeline.corpus.transcript import Turn

BEGINNING_CHARS = 60


def beginning(turn: Turn) -> str:
    """A turn in one line of a list: its side, its label, and how its words begin."""
    text = turn.text if len(turn.text) <= BEGINNING_CHARS else turn.text[:BEGINNING_CHARS] + "…"
    return f"{turn.side} {turn.label}: {text}"


def run_turns(call: Invocation, file: Path, *, as_json: bool) -> None:
    from hcf_pipeline.corpus.grammar import Grammar
    from hcf_pipeline.corpus.manifest import Refused
    from hcf_pipeline.corpus.tables import read_bytes

    settings = call.settings()
    grammar = Grammar(settings.sections.corpus)
    folder = settings.corpus_path
    at = file if file.exists() or not (folder / file).exists() else folder / file
    try:
        data = at.read_bytes()
    except OSError as error:
        raise UserError(
            zh=f"读不了文件 {file}：{error.strerror}。", en=f"The file {file} cannot be read: {error.strerror}."
        ) from error
    inside = at.resolve().is_relative_to(folder.resolve())
    path = at.resolve().relative_to(folder.resolve()).as_posix() if inside else at.name
    with only_json():
        found = read_bytes(data, path, grammar)
        if isinstance(found, Refused):
            where = call.say(f"（从第 {found.byte} 字节起）", f" (at byte {found.byte})") if found.byte else ""
            reason = refusal(found.reason, call.lang)
            labels = " ".join(grammar.sides)
            raise UserError(
                zh=f"{file} 里没有读出发言：{reason}{where}。现在认的称呼是 {labels}；要重新认，请运行 hcf init {at.parent}。",
                en=f"No turns were read in {file}: {reason}{where}. The labels that are set are {labels}; hcf init {at.parent} "
                "looks for them anew.",
            )
        day = grammar.date_of(path) or found.date
    document = {
        "file": path,
        "form": found.form,
        "encoding": found.encoding,
        "date": day and day.isoformat(),
        "turns": [
            {
                "turn": turn.no,
                "side": turn.side,
                "label": turn.label,
                "text": turn.text,
                "start_s": turn.start_s,
                "flags": turn.flags.split(),
            }
            for turn in found.turns
        ],
        "unknown_labels": dict(found.unknown_labels),
        "left_out": dict(found.left_out),
    }
    if as_json:
        print_json(document)
        return
    sure = "" if found.sure == 1 else f" ({found.sure:.0%})"
    out.print(one_line(call.say(
        f"{path}：形式 {found.form}{sure}，编码 {found.encoding}，日期 {day or '没有'}，{len(found.turns)} 次发言",
        f"{path}: form {found.form}{sure}, encoding {found.encoding}, date {day or 'none'}, {len(found.turns)} turns",
    )))  # fmt: skip
    for turn in found.turns:
        flags = f" [{turn.flags}]" if turn.flags else ""
        style = "green" if turn.side == "host" else "cyan"
        out.print(
            f"{turn.no:>4}{at_time(turn.start_s)} ",
            (one_line(f"{turn.side} {turn.label}"), style),
            one_line(f"{flags}  {turn.text}"),
        )
    for title, counts in (
        (call.say("没有设置的称呼", "labels that are not set"), found.unknown_labels),
        (call.say("没有放进发言的行", "lines in no turn"), found.left_out),
    ):
        if counts:
            out.print(one_line(f"{title}: " + ", ".join(f"{name} {count}" for name, count in counts.items())))
