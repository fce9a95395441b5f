"""How an answer looks in a terminal."""

from __future__ import annotations

from rich.markup import escape

from hcf_pipeline.chat.answer import Answer, Found
from hcf_pipeline.cli.console import out
from hcf_pipeline.errors import Lang


def show_model_text(text: str) -> None:
    out.print(text, markup=False)


def show_own_words(found: Found, lang: Lang) -> None:
    """Verbatim sentences under the name of who says them, each with its citation, date and turn."""
    for label in dict.fromkeys(quote.label for quote in found.quotes):
        out.print(f"[bold]{escape(label)}{'的原话' if lang == 'zh' else ', verbatim'}[/]")
        for quote in (quote for quote in found.quotes if quote.label == label):
            turn = f"第 {quote.turn} 句" if lang == "zh" else f"turn {quote.turn}"
            out.print(f"  「{escape(quote.text)}」 [cyan]\\[{quote.n}] {quote.date or '?'} {turn}[/]")


def show_citations(answer: Answer, lang: Lang) -> None:
    for citation in answer.citations:
        first, last = citation.turns
        turns = f"第 {first}–{last} 句" if lang == "zh" else f"turns {first}–{last}"
        out.print(f"[dim]\\[{citation.n}] {citation.date or '?'}  {escape(citation.transcript)}  {turns}[/]")


def show_answer(answer: Answer, *, toy: bool, lang: Lang) -> None:
    """A toy's text comes after the hosts' own words, and says that it is a toy's (`Answer.text` does)."""
    if answer.abstained:
        show_model_text(answer.text)
        return
    if toy:
        show_own_words(answer, lang)
        show_model_text(answer.text)
    else:
        show_model_text(answer.text)
        show_own_words(answer, lang)
    show_citations(answer, lang)
