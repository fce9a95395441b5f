"""`hcf chat`: a conversation in the terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from hcf_pipeline.chat.answer import PHRASES, Answer, Found
from hcf_pipeline.cli.answers import show_citations, show_model_text, show_own_words, show_quotations
from hcf_pipeline.cli.console import Invocation, err, only_json, out, show_error
from hcf_pipeline.cli.reader import deleting_characters, read_line
from hcf_pipeline.cli.unreleased import settings_to_answer_by
from hcf_pipeline.errors import HcfError, OutputFailed
from hcf_pipeline.lm.prompt import Exchange
from hcf_pipeline.rag.chunking.lines import shown
from hcf_pipeline.rag.search.periods import Span
from hcf_pipeline.text import clock, one_line

if TYPE_CHECKING:
    from hcf_pipeline.chat.engine import Engine

EXIT_WORDS = frozenset({"停止", "退出", "exit", "quit", "/exit"})


def run_chat(call: Invocation, span: Span, tried: Sequence[str]) -> None:
    from hcf_pipeline.chat.engine import engine_for

    settings, values = settings_to_answer_by(call, tried)

    engine = engine_for(settings, values)
    _load(call, engine)
    out.print(
        _what_answers(call, engine)
        + call.say(
            "停止 / 退出 结束，/sources 看出处，/reset 重来。",
            " 停止 / exit ends it, /sources shows where it stands, /reset starts over.",
        )
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have left it ignored
    with deleting_characters():
        _Conversation(call, engine, lambda: engine_for(settings, values), span).run()


def _what_answers(call: Invocation, engine: Engine) -> str:
    persona = one_line(engine.release.persona)
    if engine.generates:
        return call.say(f"这是对{persona}的模仿，不是本人。", f"This imitates {persona}; it is not the person.")
    return call.say(
        f"没有训练过的模型，回答都是{persona}的原话。", f"No model was trained; the answers are {persona}'s own words."
    )


def _load(call: Invocation, engine: Engine) -> None:
    with only_json(), err.waiting(call.say("正在载入模型……", "Loading the models …")):
        _ = engine.retriever, engine.generator


@contextmanager
def _interrupt_sets(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C inside sets `stop`, the second one interrupts as usual."""

    def stop_first(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, stop_first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Conversation:
    """Each answer is by the release that serves when it is asked for; its sources are looked up in that one."""

    def __init__(self, call: Invocation, engine: Engine, newest: Callable[[], Engine], span: Span) -> None:
        self._call = call
        self._engine = engine
        self._newest = newest
        self._span = span
        self._exchanges: list[Exchange] = []
        self._last: Answer | None = None

    def run(self) -> None:
        while True:
            try:
                words = read_line(self._call.say("你：", "You: "))
            except KeyboardInterrupt:
                words = None
            if words is None:
                out.print()
                return
            if words.lower() in EXIT_WORDS:
                return
            if words == "/reset":
                self._exchanges.clear()
                self._last = None
                out.print(self._call.say("好，从头来。", "Starting over."))
            elif words == "/sources":
                self._try(self._show_sources)
            elif words:
                self._try(partial(self._answer, words))

    def _try(self, work: Callable[[], None]) -> None:
        """Whatever goes wrong with one question is told, and the conversation goes on; but not without an output."""
        try:
            work()
        except OutputFailed:
            raise
        except HcfError as error:
            show_error(error, self._call.lang)
        except Exception as error:  # a bug, or a library's: no reason to lose the conversation
            out.print()
            what = one_line(f"{type(error).__name__}: {error}")
            err.print(
                self._call.say(
                    f"这一问没有答成（{what}）；可以接着问，/reset 从头来。",
                    f"That one could not be answered ({what}); ask on, or start over with /reset.",
                )
            )

    def _answer(self, question: str) -> None:
        """Ctrl-C stops the answer; what was said by then stands. A second one, at the prompt, ends the program."""
        self._move_on()
        stop = threading.Event()
        pieces: list[str] = []
        with _interrupt_sets(stop):
            for piece in self._engine.stream(question, self._exchanges, stop, self._span, self._call.lang):
                if isinstance(piece, Answer):
                    self._finish(question, "".join(pieces).strip(), piece)
                elif isinstance(piece, Found):
                    self._begin(piece)
                else:
                    pieces.append(piece)
                    out.print(piece, end="")

    def _move_on(self) -> None:
        """To the release that serves now; where that one cannot be opened, the conversation goes on with the one it has."""
        try:
            engine = self._newest()
        except HcfError as error:
            show_error(error, self._call.lang)
            return
        if engine is not self._engine:
            self._engine = engine  # the models of the old one make room before those of the new one are loaded
            _load(self._call, engine)
            out.print(
                self._call.say(f"（换到新的发布 {engine.release.id[:8]}）", f"(now by release {engine.release.id[:8]})")
            )

    def _begin(self, found: Found) -> None:
        release = self._engine.release
        if not self._engine.generates:
            return
        if release.toy:  # a toy's words come after the hosts' own
            show_own_words(found, self._call.lang)
        phrases = PHRASES[self._call.lang]
        out.print(f"{one_line(release.persona)}{phrases.colon}{phrases.toy_mark if release.toy else ''}", end="")

    def _finish(self, question: str, said: str, answer: Answer) -> None:
        self._last = answer
        if answer.abstained:
            show_model_text(answer.text)
            return
        if answer.generated:
            out.print()
            if not self._engine.release.toy:
                show_own_words(answer, self._call.lang)
            self._exchanges.append(Exchange(question, said))
        else:
            show_quotations(answer, self._call.lang)
        show_citations(answer, self._call.lang)

    def _show_sources(self) -> None:
        """The cited turns in their place, with the turns round them."""
        from hcf_pipeline.corpus.lookup import turns_around

        if self._last is None or not self._last.citations:
            out.print(self._call.say("还没有引用。", "Nothing is cited yet."))
            return
        for citation in self._last.citations:
            out.rule(f"[{citation.n}] {citation.date or '?'} {citation.transcript}")
            if citation.link:
                out.print(one_line(citation.link), style="dim")
            first, last = citation.turns
            for turn in turns_around(self._engine.turns, citation.transcript, first, last, around=1):
                inside = first <= turn.no <= last
                time = "" if turn.start_s is None else f"{clock(turn.start_s)} "
                out.print(
                    f"{turn.no:>5} {time}{shown([turn], PHRASES[self._call.lang].colon)}", style="" if inside else "dim"
                )
