"""`hcf verify`: did he really say that?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.chat.answer import PHRASES
from hcf_pipeline.cli.answers import at_time
from hcf_pipeline.cli.console import Invocation, only_json, out, print_json
from hcf_pipeline.errors import UserError
from hcf_pipeline.text import one_line

if TYPE_CHECKING:
    from hcf_pipeline.chat.engine import Engine
    from hcf_pipeline.rag.search.verify import Match, Verification

SHOWN_CHARS = 200


def run_verify(call: Invocation, quote: str | None, file: Path | None, *, as_json: bool) -> None:
    from hcf_pipeline.chat.engine import engine_for

    settings = call.settings(file_optional=call.home_named)
    quotes = [quote or ""] if file is None else _read(file)
    with only_json():
        engine = engine_for(settings)
        found = [engine.verify(one) for one in quotes]
    for one in found:
        if as_json:
            print_json(as_dict(one, engine))
        else:
            _show(call, one, engine)


def as_dict(found: Verification, engine: Engine) -> dict[str, object]:
    return {
        "quote": found.quote,
        "verdict": found.verdict,
        "only_by_others": found.only_by_others,
        "n_places": found.n_places,
        "matches": [
            {
                "transcript": match.transcript,
                "date": match.date.isoformat() if match.date else None,
                "turn": match.turn,
                "label": match.label,
                "start_s": match.start_s,
                "text": match.text,
                "similarity": match.similarity,
                "link": engine.link(match.transcript, match.date, match.start_s),
            }
            for match in found.matches
        ],
        "differences": [{"said": one.said, "quoted": one.quoted} for one in found.differences],
    }


def _read(file: Path) -> list[str]:
    try:
        quotes = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            zh=f"读不了文件 {file}：{error}；要核对的话一行一句，UTF-8 编码。",
            en=f"The file {file} cannot be read: {error}; one quotation on each line, in UTF-8.",
        ) from error
    if not quotes:
        raise UserError(zh=f"{file} 里没有要核对的话。", en=f"There is no quotation in {file}.")
    return quotes


def _show(call: Invocation, found: Verification, engine: Engine) -> None:
    host = engine.release.persona or call.say("主播", "the host")
    words = {
        "verbatim": call.say(f"是 {host} 的原话", f"verbatim: {host} said it"),
        "near": call.say("差不多，但不是原话", "near, but not what was said"),
        "not found": call.say("没有找到", "not found"),
    }[found.verdict]
    if found.only_by_others:
        words = call.say("是别人说的，不是主播", "said by somebody else, not by a host")
    style = {"verbatim": "green", "near": "yellow", "not found": "red"}[found.verdict]
    quote = PHRASES[call.lang].quote
    out.print(one_line(quote.format(text=found.quote) + " "), (words, style))
    if found.n_places > len(found.matches):
        out.print(
            call.say(
                f"    说过 {found.n_places} 次，最早的 {len(found.matches)} 次：",
                f"    in {found.n_places} turns, the first {len(found.matches)}:",
            )
        )
    for n, match in enumerate(found.matches, 1):
        out.print((f"[{n}]", "bold"), " ", one_line(_place(call, match)))
        text = match.text if len(match.text) <= SHOWN_CHARS else match.text[:SHOWN_CHARS] + "…"
        out.print(one_line(f"    {quote.format(text=text)} {match.similarity:.0%}"))
        if link := engine.link(match.transcript, match.date, match.start_s):
            out.print(one_line(f"    {link}"), style="dim")
    if found.matches and found.matches[0].n_turns > 1:
        out.print(call.say("    从几次发言里拼起来的", "    joined across turns"))
    for one in found.differences:
        out.print(
            one_line(
                call.say(
                    f"    说的是「{one.said or '—'}」，引的是「{one.quoted or '—'}」",
                    f"    said: “{one.said or '—'}”, quoted: “{one.quoted or '—'}”",
                )
            )
        )


def _place(call: Invocation, match: Match) -> str:
    turn = call.say(f"第 {match.turn} 句", f"turn {match.turn}")
    return f"{match.date or '?'}  {match.transcript}  {turn}{at_time(match.start_s)}  {match.label}"
