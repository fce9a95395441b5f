"""`hcf timeline`: what was said on a matter month by month, and where it was put otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hcf_pipeline.chat.answer import PHRASES
from hcf_pipeline.cli.answers import at_time
from hcf_pipeline.cli.ask import question_text
from hcf_pipeline.cli.console import Invocation, only_json, out, print_json
from hcf_pipeline.cli.unreleased import settings_to_answer_by
from hcf_pipeline.rag.chunking.lines import begins_at
from hcf_pipeline.rag.search.periods import Span
from hcf_pipeline.text import one_line

if TYPE_CHECKING:
    from hcf_pipeline.chat.engine import Engine
    from hcf_pipeline.rag.search.contrast import Contrast, Statement
    from hcf_pipeline.rag.search.timeline import Said, Timeline


def run_timeline(call: Invocation, question: str, span: Span, tried: Sequence[str], *, as_json: bool) -> None:
    from hcf_pipeline.chat.engine import engine_for

    asked = question_text(question)
    settings, values = settings_to_answer_by(call, tried)
    with only_json():
        engine = engine_for(settings, values)
        found = engine.timeline(asked, span)
        nothing = "" if found.months else _nothing(call, asked, span, engine)
    if as_json:
        print_json(as_dict(asked, found, engine))
    elif nothing:
        out.print(nothing)
    else:
        _show(call, found, engine)


def as_dict(question: str, found: Timeline, engine: Engine) -> dict[str, object]:
    return {
        "question": question,
        "passages": found.n_passages,
        "broadcasts": found.n_broadcasts,
        "first": found.first and _said(found.first, engine),
        "last": found.last and _said(found.last, engine),
        "months": [
            {
                "month": f"{one.year}-{one.month:02}",
                "passages": one.n_passages,
                "broadcasts": one.n_broadcasts,
                "quote": _said(one.said, engine),
            }
            for one in found.months
        ],
        "contrasts": [
            {
                "kind": one.kind,
                "then": _stated(one.then, engine) | {"differs": one.said_then},
                "later": _stated(one.later, engine) | {"differs": one.said_later},
            }
            for one in found.contrasts
        ],
        "release": engine.release.id,
    }


def _said(said: Said, engine: Engine) -> dict[str, object]:
    from hcf_pipeline.rag.search.contrast import Statement

    start_s = begins_at(line for line in said.hit.lines if line.turn == said.quote.turn)
    return _stated(Statement(said.hit, said.quote.turn, said.quote.label, start_s, said.quote.text), engine)


def _stated(one: Statement, engine: Engine) -> dict[str, object]:
    return {
        "transcript": one.hit.transcript,
        "date": one.hit.date.isoformat() if one.hit.date else None,
        "turn": one.turn,
        "label": one.label,
        "start_s": one.start_s,
        "link": engine.link(one.hit.transcript, one.hit.date, one.start_s),
        "text": one.text,
    }


def _nothing(call: Invocation, question: str, span: Span, engine: Engine) -> str:
    """Why there are no months."""
    if not engine.retriever.days.months:
        return call.say("文稿没有日期，排不出先后。", "The transcripts bear no dates, so there is no timeline.")
    if engine.query(question, span).asks_only_when:  # that there is no broadcast of that time
        return engine.answer(question, span=span, lang=call.lang).text
    return PHRASES[call.lang].abstained


def _show(call: Invocation, found: Timeline, engine: Engine) -> None:
    n, places, first, last = found.n_passages, found.n_broadcasts, found.months[0], found.months[-1]
    since, until = (f"{one.year}-{one.month:02}" for one in (first, last))
    out.print(
        call.say(
            f"{since} 到 {until}：{n} 段，{places} 场直播", f"{since} to {until}: {n} passages, {places} transcripts"
        ),
        style="bold",
    )
    for one in found.months:
        counted = call.say(f"{one.n_passages} 段", f"{one.n_passages} passages" if one.n_passages > 1 else "1 passage")
        out.print((f"{one.year}-{one.month:02}", "bold"), f"  {counted}")
        _quote(call, _said(one.said, engine))
    for title, said in ((call.say("第一次", "first"), found.first), (call.say("最近一次", "last"), found.last)):
        if said:
            out.print(title, style="bold")
            _quote(call, _said(said, engine))
    if found.contrasts:
        out.print(
            call.say("前后说法不同（只是措辞不同，请自己判断）", "worded otherwise (judge for yourself)"), style="bold"
        )
    for contrast in found.contrasts:
        _contrast(call, contrast, engine)


def _contrast(call: Invocation, contrast: Contrast, engine: Engine) -> None:
    for title, one in ((call.say("当时", "then"), contrast.then), (call.say("后来", "later"), contrast.later)):
        _quote(call, _stated(one, engine), title)
    out.print()


def _quote(call: Invocation, said: dict[str, object], title: str = "") -> None:
    phrases = PHRASES[call.lang]
    turn = call.say(f"第 {said['turn']} 句", f"turn {said['turn']}")
    start_s = said["start_s"]
    time = at_time(start_s if isinstance(start_s, float) else None)
    before = phrases.says.format(who=title) if title else ""
    text = phrases.quote.format(text=one_line(str(said["text"])))
    out.print(f"  {before}{text} ", (f"{said['date']} {turn}{time} {one_line(str(said['label']))}", "cyan"))
    if said["link"]:
        out.print(f"      {one_line(str(said['link']))}", style="dim")
