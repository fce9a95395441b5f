"""`hcf retrieve`: the best chunks for one question, or for a file of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.chat.answer import PHRASES
from hcf_pipeline.cli.answers import at_time
from hcf_pipeline.cli.console import Invocation, only_json, out, print_json
from hcf_pipeline.cli.unreleased import settings_to_answer_by
from hcf_pipeline.errors import Lang, UserError
from hcf_pipeline.few import listed
from hcf_pipeline.jsonl import read_objects
from hcf_pipeline.rag.chunking.lines import shown
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.periods import Span
from hcf_pipeline.text import one_line

if TYPE_CHECKING:
    from hcf_pipeline.chat.engine import Engine


def run_retrieve(
    call: Invocation,
    question: str | None,
    questions: Path | None,
    k: int | None,
    span: Span,
    tried: Sequence[str],
    *,
    broadcasts: bool,
    as_json: bool,
) -> None:
    from hcf_pipeline.chat.engine import engine_for

    settings, values = settings_to_answer_by(call, tried)
    asked = list(_read(questions)) if questions else [question or ""]
    with only_json():
        engine = engine_for(settings, values)
        found = [engine.retrieve(text, k, span, broadcasts=broadcasts) for text in asked]
    if questions:
        for text, hits in zip(asked, found, strict=True):
            print_json({"question": text, "hits": [as_dict(hit, link_of(engine, hit), call.lang) for hit in hits]})
    elif as_json:
        print_json({"hits": [as_dict(hit, link_of(engine, hit), call.lang) for hit in found[0]]})
    else:
        for n, hit in enumerate(found[0], 1):
            where = f"{one_line(hit.transcript)}  {call.say('第', 'turns')} {hit.turns[0]}–{hit.turns[1]}"
            out.print((f"[{n}]", "bold"), f" {hit.date or '?'}  {where}{at_time(hit.start_s)}  {hit.score:.3f}")
            if link := link_of(engine, hit):
                out.print(one_line(link), style="dim")
            out.print(shown(hit.lines, PHRASES[call.lang].colon), style="dim")
            if hit.also:
                also = [f"{p.transcript} {p.turns[0]}–{p.turns[1]}" for p in hit.also]
                places = one_line(listed(also, call.lang))
                out.print(call.say(f"同样的话还在：{places}", f"the same words: {places}"))
            out.print()
        if not found[0]:
            out.print(call.say("没有找到。", "Nothing was found."))


def link_of(engine: Engine, hit: Hit) -> str | None:
    return engine.link(hit.transcript, hit.date, hit.start_s)


def as_dict(hit: Hit, link: str | None, lang: Lang) -> dict[str, object]:
    return {
        "transcript": hit.transcript,
        "date": hit.date.isoformat() if hit.date else None,
        "turns": list(hit.turns),
        "text": shown(hit.lines, PHRASES[lang].colon),
        "start_s": hit.start_s,
        "link": link,
        "lines": [line._asdict() for line in hit.lines],
        "score": round(hit.score, 6),
    }


def _read(file: Path) -> Iterator[str]:
    for where, row in read_objects(file):
        question = row.get("question")
        if not isinstance(question, str) or not question.strip():
            raise UserError(
                zh=f'{where} 应是一个 JSON 对象，含有 "question"。',
                en=f'{where} has to be a JSON object with a "question".',
            )
        yield question
