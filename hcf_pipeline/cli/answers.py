"""How an answer looks in a terminal."""

from __future__ import annotations

from hcf_pipeline.chat.answer import PHRASES, Answer, Found
from hcf_pipeline.cli.console import out
from hcf_pipeline.errors import Lang
from hcf_pipeline.text import clock, one_line


def show_model_text(text: str) -> None:
    out.print(text)


def show_own_words(found: Found, lang: Lang) -> None:
    """Verbatim sentences under the name of who says them, each with its citation, date and turn."""
    if found.times:
        show_broadcasts(found, lang)
        return
    for label in dict.fromkeys(quote.label for quote in found.quotes):
        out.print(f"{one_line(label)}{'的原话' if lang == 'zh' else ', verbatim'}", style="bold")
        for quote in (quote for quote in found.quotes if quote.label == label):
            turn = f"第 {quote.turn} 句" if lang == "zh" else f"turn {quote.turn}"
            where = f"[{quote.n}] {quote.date or '?'} {turn}{at_time(quote.start_s)}"
            out.print(f"  {PHRASES[lang].quote.format(text=quote.text)} ", (where, "cyan"))


def show_broadcasts(found: Found, lang: Lang) -> None:
    """What a time was about: each broadcast of it, with the hosts' words and where they stand."""
    phrases = PHRASES[lang]
    several = len({quote.label for quote in found.quotes}) > 1
    for time in found.times:
        out.print(time.said(phrases) + (phrases.colon.rstrip() if time.n_broadcasts else ""), style="bold")
    for cited, quotes in found.by_broadcast:
        out.print((f"{cited[0].date}", "bold"), f"  {one_line(cited[0].transcript)}")
        if not quotes:
            out.print(f"  {phrases.not_said}", style="dim")
        for quote in quotes:
            who = phrases.says.format(who=one_line(quote.label)) if several else ""
            turn = f"第 {quote.turn} 句" if lang == "zh" else f"turn {quote.turn}"
            where = f"[{quote.n}] {turn}{at_time(quote.start_s)}"
            out.print(f"  {who}{phrases.quote.format(text=quote.text)} ", (where, "cyan"))
            if quote.link:
                out.print(f"      {one_line(quote.link)}", style="dim")


def show_quotations(answer: Answer, lang: Lang) -> None:
    """An answer that no model wrote: the hosts' own words, or the sentence that there are none."""
    if answer.quotes or answer.times:
        show_own_words(answer, lang)
    else:
        show_model_text(answer.text)


def show_citations(answer: Answer, lang: Lang) -> None:
    if answer.times:  # each broadcast stands above what was said in it
        return
    for citation in answer.citations:
        first, last = citation.turns
        turns = f"第 {first}–{last} 句" if lang == "zh" else f"turns {first}–{last}"
        where = f"{citation.date or '?'}  {one_line(citation.transcript)}  {turns}{at_time(citation.start_s)}"
        out.print(f"[{citation.n}] {where}", style="dim")
        if citation.link:
            out.print(f"    {one_line(citation.link)}", style="dim")


def at_time(start_s: float | None) -> str:
    """A time to stand behind the number of a turn; "" where it has none."""
    return "" if start_s is None else f" {clock(start_s)}"


def show_answer(answer: Answer, *, toy: bool, lang: Lang) -> None:
    """A toy's text comes after the hosts' own words, and says that it is a toy's (`Answer.text` does)."""
    if answer.abstained:
        show_model_text(answer.text)
        return
    if not answer.generated:
        show_quotations(answer, lang)
    elif toy:
        show_own_words(answer, lang)
        show_model_text(answer.text)
    else:
        show_model_text(answer.text)
        show_own_words(answer, lang)
    show_citations(answer, lang)
