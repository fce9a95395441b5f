"""`hcf retrieve`: the best chunks for one question, or for a file of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.markup import escape

from hcf_pipeline.cli.console import Invocation, only_json, out, print_json
from hcf_pipeline.cli.unreleased import note_unreleased
from hcf_pipeline.errors import UserError
from hcf_pipeline.files import parsed_json
from hcf_pipeline.rag.dates import Span
from hcf_pipeline.rag.hits import Hit


def run_retrieve(
    call: Invocation,
    question: str | None,
    questions: Path | None,
    k: int | None,
    span: Span,
    tried: Sequence[str],
    *,
    as_json: bool,
) -> None:
    from hcf_pipeline.chat.engine import engine_for

    settings = call.settings()
    values = call.tried(tried)
    note_unreleased(call, settings, values)
    asked = list(_read(questions)) if questions else [question or ""]
    with only_json():
        engine = engine_for(settings, values)
        found = [engine.retrieve(text, k, span) for text in asked]
    if questions:
        for text, hits in zip(asked, found, strict=True):
            line = {"question": text, "hits": [as_dict(hit) for hit in hits]}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    elif as_json:
        print_json({"hits": [as_dict(hit) for hit in found[0]]})
    else:
        for n, hit in enumerate(found[0], 1):
            where = f"{hit.transcript}  {call.say('第', 'turns')} {hit.turns[0]}–{hit.turns[1]}"
            out.print(f"[bold][{n}][/] {hit.date or '?'}  {escape(where)}  {hit.score:.3f}")
            out.print(hit.text, markup=False, style="dim")
            if hit.also:
                places = "、".join(f"{p.transcript} {p.turns[0]}–{p.turns[1]}" for p in hit.also)
                out.print(escape(call.say(f"同样的话还在：{places}", f"the same words: {places}")))
            out.print()
        if not found[0]:
            out.print(call.say("没有找到。", "Nothing was found."))


def as_dict(hit: Hit) -> dict[str, object]:
    return {
        "transcript": hit.transcript,
        "date": hit.date.isoformat() if hit.date else None,
        "turns": list(hit.turns),
        "text": hit.text,
        "lines": [line._asdict() for line in hit.lines],
        "score": round(hit.score, 6),
    }


def _read(file: Path) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(zh=f"读不了问题文件 {file}：{error}。", en=f"Cannot read {file}: {error}.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            question = parsed_json(line)["question"]
        except (ValueError, KeyError, TypeError):
            question = None
        if not isinstance(question, str) or not question.strip():
            raise UserError(
                zh=f'{file}:{number} 应是一个 JSON 对象，含有 "question"。',
                en=f'{file}:{number} has to be a JSON object with a "question".',
            )
        yield question
