"""The engine of a release, and the terminal around it."""

from __future__ import annotations

import contextlib
import datetime
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hcf_pipeline.chat.answer import PHRASES, Answer, Found
from hcf_pipeline.chat.engine import Engine, engine_for
from hcf_pipeline.errors import NotReady
from hcf_pipeline.lm.prompt import Exchange
from hcf_pipeline.rag.search.periods import EVER
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import Finished, Project, clean_environment

QUESTION = "小顾头一个月的工资是多少？"


def open_engine(finished: Finished, **tried: object) -> Engine:
    names = {name.replace("__", "."): value for name, value in tried.items()}
    return engine_for(load_settings(finished.project.root / "hcf.toml", environ={}), names)


def test_a_process_opens_a_release_once(finished: Finished) -> None:
    assert open_engine(finished) is open_engine(finished)


def test_what_the_corpus_says_comes_first_then_pieces_then_the_answer(finished: Finished) -> None:
    first, *pieces, last = open_engine(finished).stream(QUESTION, [Exchange("在吗", "在的")])
    assert type(first) is Found and isinstance(last, Answer)
    assert all(isinstance(piece, str) for piece in pieces)
    assert (first.quotes, first.citations) == (last.quotes, last.citations)


def test_today_is_the_day_in_the_time_zone_of_the_settings_unless_one_is_set(finished: Finished) -> None:
    toml = finished.project.root / "hcf.toml"
    east, west = (
        engine_for(load_settings(toml, environ={"HCF_REFRESH__TIMEZONE": zone})).today()
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")
    )
    assert (east - west).days in (1, 2)  # they are 25 hours apart
    engine = open_engine(finished, retrieval__today="2024-01-03")
    assert [str(period.until) for period in engine.query("今天他说了什么").periods] == ["2024-01-03"]


def test_a_question_about_a_day_is_answered_with_what_that_day_was_about(finished: Finished) -> None:
    engine = open_engine(finished, lora__enabled=False)
    day = datetime.date(2024, 3, 23)
    for answer in (
        engine.answer("2024年3月5日聊了什么？"),
        engine.answer("聊了什么？", span=(day, day)),
        engine.answer("江照野2024年3月5日都说了些什么？"),
    ):
        assert not answer.abstained and answer.quotes and len({c.date for c in answer.citations}) == 1


def test_a_day_without_a_broadcast_is_said_to_have_none_with_the_nearest_two(finished: Finished) -> None:
    engine = open_engine(finished, lora__enabled=False)
    answer = engine.answer("2024年3月6日聊了什么？")
    assert answer.abstained and answer.text == "文稿里没有 2024-03-06 的直播。离它最近的是 2024-03-05、2024-03-11。"
    assert [str(day) for day in answer.times[0].nearest] == ["2024-03-05", "2024-03-11"]
    later = engine.answer("聊了什么？", span=(datetime.date(2030, 1, 1), None))
    assert later.abstained and later.text.startswith("文稿里没有 2030-01-01 以后 的直播。离它最近的是 2024-")


def test_each_broadcast_of_a_month_is_named_with_its_quotations_below_how_many_there_are(finished: Finished) -> None:
    engine = open_engine(finished, lora__enabled=False)
    answer = engine.answer("What was discussed in March 2024?", lang="en")
    (time,) = answer.times
    days = {citation.transcript: str(citation.date) for citation in answer.citations}
    assert time.n_broadcasts == time.n_named == len(days) > 3
    assert all(day.startswith("2024-03") for day in days.values())
    lines = answer.text.splitlines()
    assert lines[0] == f"{len(days)} transcripts of 2024-03-01 to 2024-03-31:"
    assert [line[:13] for line in lines[1:]] == [f"{day}: “" for day in sorted(days.values())]
    assert answer.as_json()["times"] == [
        {"since": "2024-03-01", "until": "2024-03-31", "broadcasts": len(days), "named": len(days), "nearest": []}
    ]


def test_of_two_days_that_without_a_broadcast_is_said_to_have_none(finished: Finished) -> None:
    engine = open_engine(finished, lora__enabled=False)
    answer = engine.answer("2024年3月5日和3月6日聊了什么？")
    assert not answer.abstained and {str(citation.date) for citation in answer.citations} == {"2024-03-05"}
    assert "文稿里没有 2024-03-06 的直播。离它最近的是 2024-03-05、2024-03-11。" in answer.text


def test_a_model_is_shown_something_of_each_broadcast_of_a_time(finished: Finished) -> None:
    engine = open_engine(finished)
    found, hits, passages = engine._of_a_time(engine.query("2024年3月聊了什么？"), EVER, PHRASES["zh"])
    chars = engine._sections.chat.context_chars
    assert len(passages) == len(hits) == len(found.citations)
    assert sum(map(len, passages)) <= chars + 20 * len(passages)
    assert {passage[:10] for passage in passages} == {str(citation.date) for citation in found.citations}
    assert engine.answer("2024年3月聊了什么？").generated


def test_a_link_is_made_of_what_is_known_of_a_citation(finished: Finished) -> None:
    engine = open_engine(finished, corpus__link="https://x.example/{date}/{path}", lora__enabled=False)
    citation = engine.answer(QUESTION).citations[0]
    assert citation.link and citation.link.startswith(f"https://x.example/{citation.date}/2024%E5%B9%B4")
    assert (
        open_engine(finished, corpus__link="https://x.example/?t={start_s}").answer(QUESTION).citations[0].link is None
    )
    assert open_engine(finished, corpus__link="{url}").answer(QUESTION).citations[0].link is None


def test_a_question_longer_than_the_window_is_still_answered(finished: Finished) -> None:
    assert open_engine(finished).answer(QUESTION * 2000, [Exchange("在吗" * 500, "在" * 500)] * 8).text


def test_a_stop_ends_the_answer_early_and_keeps_what_was_said(finished: Finished) -> None:
    engine = open_engine(finished, chat__max_new_tokens=4000, chat__temperature=2.0)
    stop = threading.Event()
    said: list[str] = []
    answer: Answer | None = None
    for piece in engine.stream(QUESTION, (), stop):
        if isinstance(piece, str):
            said.append(piece)
            stop.set()
        elif isinstance(piece, Answer):
            answer = piece
    assert answer is not None and answer.citations
    assert len("".join(said)) < 200


def test_two_threads_get_an_answer_each(finished: Finished) -> None:
    engine = open_engine(finished)
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(engine.answer(QUESTION))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.citations for answer in answers] == [answers[0].citations] * 2


def test_before_the_first_release_the_next_step_is_named(tmp_path: Path) -> None:
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    with pytest.raises(NotReady, match="hcf refresh"):
        engine_for(load_settings(tmp_path / "hcf.toml", environ={}))


class Terminal:
    """`hcf chat` in a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], handle: int) -> None:
        self.process = process
        self._handle = handle
        self.shown = ""

    def wait_for(self, text: str, timeout_s: float = 120) -> None:
        """Reads on until `text` shows up in what is new."""
        new, end = "", time.monotonic() + timeout_s
        while text not in new:
            assert time.monotonic() < end, f"no {text!r} in {new!r}"
            if select.select([self._handle], [], [], 0.2)[0]:
                new += os.read(self._handle, 65536).decode("utf-8", "replace")
        self.shown += new

    def interrupt_until_it_ends(self) -> int | None:
        """One Ctrl-C is enough, unless it falls between the prompt and the read that it should interrupt."""
        for _ in range(20):
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(1)
        return None

    def type(self, line: str) -> None:
        os.write(self._handle, f"{line}\n".encode())


@contextmanager
def chat(project: Project, *options: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("hcf")), "chat", *options]
    environment = clean_environment(TERM="dumb")
    with subprocess.Popen(
        command, cwd=project.root, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)


def test_a_conversation_shows_own_words_sources_and_ends_at_the_exit_word(finished: Finished) -> None:
    with chat(finished.project) as terminal:
        terminal.wait_for("你：")
        assert "不是本人" in terminal.shown
        terminal.type(QUESTION)
        terminal.wait_for("你：")
        assert "江照野的原话" in terminal.shown and "（玩具模型）" in terminal.shown
        terminal.type("/sources")
        terminal.wait_for("你：")
        assert "江照野：" in terminal.shown.rpartition("/sources")[2]
        terminal.type("/reset")
        terminal.wait_for("你：")
        terminal.type("停止")
        assert terminal.process.wait(20) == 0


def test_the_first_interrupt_stops_the_answer_and_the_next_one_the_program(finished: Finished) -> None:
    with chat(finished.project, "-s", "chat.max_new_tokens=8000", "-s", "chat.temperature=3") as terminal:
        terminal.wait_for("你：")
        terminal.type(QUESTION)
        terminal.wait_for("（玩具模型）")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("你：")
        assert terminal.process.poll() is None
        assert terminal.interrupt_until_it_ends() is not None


def test_a_released_setting_holds_until_another_release_and_a_tried_one_for_one_answer(finished: Finished) -> None:
    """Before, a changed setting changed the answers at once, while release and scorecard were called fresh."""
    changed = load_settings(finished.project.root / "hcf.toml", environ={"HCF_RETRIEVAL__TOP_K": "1"})
    released = open_engine(finished)
    assert len(engine_for(changed).retrieve(QUESTION)) == len(released.retrieve(QUESTION)) == 5
    assert len(open_engine(finished, retrieval__top_k=2).retrieve(QUESTION)) == 2
    prompted = load_settings(
        finished.project.root / "hcf.toml", environ={"HCF_ENCODER__QUERY_PROMPT": "为这个句子生成表示："}
    )
    assert [hit.score for hit in engine_for(prompted).retrieve(QUESTION)] == [
        hit.score for hit in released.retrieve(QUESTION)
    ]


def test_a_model_is_loaded_once_however_many_ask_for_it_first(finished: Finished) -> None:
    engine = open_engine(finished, chat__max_new_tokens=3)
    found: list[object] = []
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        found.append((id(engine.retriever), id(engine.generator)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1


@pytest.mark.slow
def test_a_conversation_moves_on_to_the_new_release_and_keeps_its_sources(project: Project) -> None:
    """The old release is cleared away while the conversation waits for the next question."""
    with chat(project) as terminal:
        terminal.wait_for("你：")
        terminal.type(QUESTION)
        terminal.wait_for("你：")
        before = project.json("status")["release"]
        after = project.json("refresh", HCF_RETRIEVAL__TOP_K="3", HCF_RELEASE__KEEP="1")["release"]
        assert after != before
        assert [one["release"] for one in project.json("release", "list")["releases"]] == [after]
        terminal.type("/sources")
        terminal.wait_for("你：")
        assert "江照野：" in terminal.shown.rpartition("/sources")[2]
        terminal.type(QUESTION)
        terminal.wait_for("你：")
        said = terminal.shown.rpartition(f"换到新的发布 {after[:8]}")[2]
        assert "[3]" in said and "[4]" not in said
