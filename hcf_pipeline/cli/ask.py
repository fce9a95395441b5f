"""`hcf ask`: one question, one answer with citations."""

from __future__ import annotations

from collections.abc import Sequence

from hcf_pipeline.cli.answers import show_answer
from hcf_pipeline.cli.console import Invocation, only_json, print_json
from hcf_pipeline.cli.reader import read_all
from hcf_pipeline.cli.unreleased import settings_to_answer_by
from hcf_pipeline.errors import UserError
from hcf_pipeline.rag.search.periods import Span

FROM_STDIN = "-"


def run_ask(call: Invocation, question: str, span: Span, tried: Sequence[str], *, as_json: bool) -> None:
    """`tried`: "section.key=value" each, settings that this one answer is given by in place of the release's."""
    from hcf_pipeline.chat.engine import engine_for

    question = question_text(question)
    settings, values = settings_to_answer_by(call, tried)
    with only_json():
        engine = engine_for(settings, values)
        answer = engine.answer(question, span=span, lang=call.lang)
    if as_json:
        print_json(answer.as_json())
    else:
        show_answer(answer, toy=engine.release.toy, lang=call.lang)


def question_text(question: str) -> str:
    """The question as it was given, or as it comes from standard input. Raises UserError where it is blank."""
    if question == FROM_STDIN:
        question = read_all()
    if not question.strip():
        raise UserError(zh="问题是空的；请写上要问的话。", en="The question is empty; write what you want to ask.")
    return question
