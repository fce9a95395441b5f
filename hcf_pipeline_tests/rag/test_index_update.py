"""What an index is after many updates: the same answers as one that was built from scratch, at the cost of the change."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.index.bm25 import USUAL_IDF, USUAL_TEXTS
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.sidecar import Sidecar
from hcf_pipeline.rag.index.writer import DEAD_SHARE, FAN, SMALL_SHARE, IndexReport, write_index
from hcf_pipeline.rag.search.quotes import best_quotes
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import Built, write_chunks

Talks = dict[str, tuple[datetime.date | None, list[Turn]]]
WORDS = "修车铺电瓶面馆水管变速箱小猫徒弟工资马拉松茉莉花茶多少钱怎么坏了我说你们今天晚上好谢谢"


def talk(random_: random.Random, n_turns: int) -> tuple[datetime.date | None, list[Turn]]:
    """Guest and host by turns, in words that come up again and again; now and then undated, now and then the same."""
    date = datetime.date(2024, 1, 1) + datetime.timedelta(random_.randrange(300)) if random_.random() < 0.8 else None
    turns = []
    for no in range(1, n_turns + 1):
        side, label = ("host", "江照野") if no % 2 == 0 else ("guest", "水友")
        text = "".join(random_.choices(WORDS, k=random_.randrange(8, 50))) + "。"
        turns.append(Turn(no, side, label, "晚上好，谢谢谢谢。" if random_.random() < 0.1 else text, ""))
    return date, turns


@dataclass
class History:
    """An index that is updated again and again, each version in a folder of its own."""

    built: Built
    folder: Path
    chunks: Path | None = None
    index: Path | None = None
    n: int = 0

    def update(self, talks: Talks) -> IndexReport:
        report, self.chunks, self.index = self._write(talks, self.chunks, self.index)
        return report

    def from_scratch(self, talks: Talks) -> tuple[IndexReport, Path]:
        report, _, index = self._write(talks, None, None)
        return report, index

    def _write(self, talks: Talks, chunks: Path | None, index: Path | None) -> tuple[IndexReport, Path, Path]:
        self.n += 1
        out = self.folder / str(self.n)
        for name in ("embeddings", "index"):
            (out / name).mkdir(parents=True)
        table = write_chunks(talks, out / "chunks", chunks)
        write_embeddings(table, self.built.encoder, self.built.cache, out / "embeddings")
        report = write_index(table, out / "embeddings", out / "index", index)
        return report, table, out / "index"

    @property
    def segments(self) -> list[tuple[int, int]]:
        """(live, dead) chunks of each."""
        assert self.index
        return [(segment.n_live, segment.n_dead) for segment in Sidecar.load(self.index).segments]


@pytest.fixture
def history(built: Built, tmp_path: Path) -> History:
    return History(built, tmp_path)


def corpus(n: int, n_turns: int = 30) -> Talks:
    random_ = random.Random(5)
    return {f"{number:03}.md": talk(random_, n_turns) for number in range(n)}


def edit(talks: Talks, path: str, text: str) -> Talks:
    date, turns = talks[path]
    return {**talks, path: (date, [*turns[:-1], turns[-1]._replace(text=text)])}


def test_after_edits_additions_deletions_and_renames_it_answers_as_one_built_from_scratch(
    built: Built, history: History
) -> None:
    random_ = random.Random(11)
    talks = corpus(40)
    history.update(talks)
    n_segments = set()
    for step in range(24):
        path = random_.choice(sorted(talks))
        if step % 4 == 0:
            talks = edit(talks, path, f"第{step}次改成了小猫吃面馆的面。")
        elif step % 4 == 1:
            talks[f"new {step}.md"] = talk(random_, random_.choice([4, 30]))
        elif step % 4 == 2:
            talks[f"renamed {step}.md"] = talks.pop(path)
        else:
            talks.pop(path)
        n_segments.add(history.update(dict(talks)).n_segments)
    assert max(n_segments) >= 4 and 1 in n_segments
    talks = edit(talks, sorted(talks)[0], "最后一次改成了修车铺。")
    talks.pop(sorted(talks)[1])
    updated = history.update(talks)
    scratch, index = history.from_scratch(talks)
    assert any(n_dead for _, n_dead in history.segments) and len(history.segments) > 2
    assert (updated.content, updated.n_chunks, updated.n_transcripts, updated.n_undated) == (
        scratch.content,
        scratch.n_chunks,
        scratch.n_transcripts,
        scratch.n_undated,
    )
    questions = ["".join(random_.choices(WORDS, k=random_.randrange(2, 14))) + "？" for _ in range(220)]
    for changes in ({}, {"dense_weight": 0.0}, {"dense_weight": 0.5, "one_per_transcript": True}):
        settings = RetrievalSettings().model_copy(update=changes)
        assert history.index
        one = Retriever.open(history.index, built.encoder, settings)
        two = Retriever.open(index, built.encoder, settings)
        assert one.scale == two.scale
        for question in questions:
            since = datetime.date(2024, 5, 1) if len(question) % 5 == 0 else None
            mine, theirs = (retriever.search(question, 10, since=since) for retriever in (one, two))
            assert [hit.chunk_id for hit in mine] == [hit.chunk_id for hit in theirs]
            assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in theirs], abs=1e-5)
            assert [(hit.transcript, hit.date, hit.text) for hit in mine] == [
                (hit.transcript, hit.date, hit.text) for hit in theirs
            ]
            assert best_quotes(one.query(question).terms, mine, ["江照野"]) == best_quotes(
                two.query(question).terms, theirs, ["江照野"]
            )


def test_one_changed_transcript_writes_its_own_chunks_and_shares_the_other_files(history: History) -> None:
    talks = corpus(30)
    history.update(talks)
    first = history.index
    assert first
    report = history.update(edit(talks, "007.md", "改成了小猫。"))
    assert 0 < report.n_written < report.n_chunks / 20 and report.n_segments == 2
    assert history.index
    for file in first.glob("segments/**/*.*"):
        assert (history.index / file.relative_to(first)).samefile(file)
    assert history.segments[0][1] > 0 and history.segments[1] == (report.n_written, 0)


def test_a_deleted_transcript_writes_no_segment_and_one_that_comes_back_neither(history: History) -> None:
    talks = corpus(30)
    first = history.update(talks)
    gone = history.update({path: one for path, one in talks.items() if path != "003.md"})
    assert (gone.n_written, gone.n_segments) == (0, 1) and gone.content != first.content
    back = history.update(talks)
    assert (back.n_written, back.content, history.segments) == (0, first.content, [(first.n_chunks, 0)])


def test_nothing_of_a_dead_transcript_comes_out_or_counts(built: Built, history: History) -> None:
    talks = edit(corpus(20), "003.md", "唯独这一场说过河马。")
    history.update(talks)
    history.update({path: one for path, one in talks.items() if path != "003.md"})
    assert history.index
    index = Index(history.index, built.encoder.identity, built.encoder.dim)
    assert index.n_rows > index.n_chunks == history.segments[0][0]
    terms = np.array([ord("河")], dtype=np.int64)
    unheard = np.log1p((index.n_chunks + 0.5) / 0.5)
    usual = USUAL_TEXTS * USUAL_IDF
    assert index.lexical.idf(terms) == pytest.approx(
        (index.n_chunks * unheard + usual) / (index.n_chunks + USUAL_TEXTS)
    )
    hits = Retriever(index, built.encoder, RetrievalSettings()).search("唯独这一场说过河马", 1000)
    assert len(hits) <= index.n_chunks and "003.md" not in {hit.transcript for hit in hits}


def test_segments_of_about_one_size_become_one(history: History) -> None:
    talks = corpus(60)
    history.update(talks)
    counts = []
    for n in range(FAN):
        talks = {**talks, f"new {n}.md": talk(random.Random(n), 10)}
        counts.append(history.update(talks).n_segments)
    assert counts == [*range(2, FAN + 1), 2]
    assert len(history.segments) == 2 and history.segments[0][1] == 0


@pytest.mark.parametrize(
    ("change", "share"),
    [
        (lambda talks, n: {**talks, **{f"new {i}.md": talk(random.Random(i), 30) for i in range(n)}}, SMALL_SHARE),
        (lambda talks, n: dict(list(talks.items())[n:]), DEAD_SHARE / (1 + DEAD_SHARE)),
    ],
    ids=["added", "deleted"],
)
def test_all_is_built_anew_once_much_has_changed(
    history: History, change: Callable[[Talks, int], Talks], share: float
) -> None:
    talks = corpus(40, 20)
    history.update(talks)
    few = change(talks, int(len(talks) * share * 0.5))
    assert history.update(few).n_written < history.segments[0][0]
    many = change(talks, int(len(talks) * share * 1.6) + 1)
    report = history.update(many)
    assert (report.n_segments, report.n_written) == (1, report.n_chunks)


def test_an_index_of_another_encoder_is_no_help_and_no_hindrance(built: Built, history: History) -> None:
    talks = corpus(8)
    history.update(talks)
    assert history.chunks and history.index
    out, embeddings = history.folder / "other", history.index.with_name("embeddings")
    out.mkdir()
    file = embeddings / "embeddings.json"
    file.write_text(file.read_text(encoding="utf-8").replace(built.encoder.identity, "another"), encoding="utf-8")
    report = write_index(history.chunks, embeddings, out, history.index)
    assert report.n_written == report.n_chunks
    assert Sidecar.load(out).encoder == "another"
