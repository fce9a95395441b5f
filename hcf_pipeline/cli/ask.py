"""`hcf ask`: one question, one answer with citations."""

from __future__ import annotations

from hcf_pipeline.cli.answers import show_answer
from hcf_pipeline.cli.console import Invocation, only_json, print_json
from hcf_pipeline.errors import UserError
from hcf_pipeline.rag.dates import Span


def run_ask(call: Invocation, question: str, span: Span, *, as_json: bool) -> None:
    from hcf_pipeline.chat.engine import engine_for

    if not question.strip():
        raise UserError(zh="问题是空的；请写上要问的话。", en="The question is empty; write what you want to ask.")
    settings = call.settings()
    with only_json():
        engine = engine_for(settings)
        answer = engine.answer(question, span=span)
    if as_json:
        print_json(answer.as_json())
    else:
        show_answer(answer, toy=engine.release.toy, lang=call.lang)
