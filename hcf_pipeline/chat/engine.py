"""The chat model of one release: retrieval, then base + adapter, then citations.

Used by `hcf ask`, `hcf chat` and the Dagster resource alike. Opening is lazy: retrieval loads the encoder only, the
language model loads with the first answer. A process holds each release once (`engine_for`).
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hcf_pipeline.chat.answer import ABSTAINED, TOY_MARK, Answer, Citation, Found, OwnWords
from hcf_pipeline.chat.generate import Generator, load_generator
from hcf_pipeline.chat.prompt import Exchange, build_messages, system_prompt
from hcf_pipeline.chat.release import Release, current_release, unpin
from hcf_pipeline.rag.chunks import COLON
from hcf_pipeline.rag.dates import EVER, Span
from hcf_pipeline.rag.hits import Hit
from hcf_pipeline.rag.query import Query, today_in
from hcf_pipeline.rag.quotes import attribute, best_quotes, only_cited
from hcf_pipeline.rag.retriever import Retriever
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Artifact, Store

if TYPE_CHECKING:
    from hcf_pipeline.rag.reranker import Reranker

_engines: dict[tuple[Path, str, str], Engine] = {}
_opening = threading.Lock()


def engine_for(settings: Settings) -> Engine:
    """The engine of the release that serves now; opened once per process, release and settings."""
    release = current_release(Store(settings.home))
    key = (settings.home, release.id, settings.sections.model_dump_json())
    with _opening:
        if key not in _engines:
            _engines.clear()  # an older release's weights make room
            _engines[key] = Engine(release, settings)
        return _engines[key]


class Engine:
    def __init__(self, release: Release, settings: Settings) -> None:
        self.release = release
        self._settings = settings
        self._store = Store(settings.home)
        self._generating = threading.Lock()

    @cached_property
    def retriever(self) -> Retriever:
        from hcf_pipeline.models import model_folder
        from hcf_pipeline.rag.encoder import load_encoder

        encoder = load_encoder(model_folder(self._open("encoder")), "cpu", self._settings.sections.encoder)
        index, retrieval = self._open("index").path, self._settings.sections.retrieval
        return Retriever.open(index, encoder, retrieval, reranker_for(self._settings), verified=True)

    @cached_property
    def generator(self) -> Generator:
        from hcf_pipeline.models import model_folder

        base = model_folder(self._open("base"))
        return load_generator(base, self._open("adapter").path, self._settings.sections)

    @cached_property
    def turns(self) -> Path:
        return self._open("turns").path

    def retrieve(self, question: str, k: int | None = None, span: Span = EVER) -> list[Hit]:
        """The k best chunks of the broadcasts in `span`, best first."""
        return self._search(self.query(question), k, span)

    def query(self, question: str) -> Query:
        """The question as it is asked today."""
        return self.retriever.query(question, self.today())

    def today(self) -> datetime.date:
        """`[retrieval] today`, else the calendar day in `[refresh] timezone`."""
        sections = self._settings.sections
        return sections.retrieval.today or today_in(sections.refresh.timezone)

    def _search(self, query: Query, k: int | None, span: Span) -> list[Hit]:
        return self.retriever.search(query, k or self._settings.sections.retrieval.top_k, *span)

    def answer(self, question: str, exchanges: Sequence[Exchange] = (), span: Span = EVER) -> Answer:
        *_, last = self.stream(question, exchanges, span=span)
        assert isinstance(last, Answer)
        return last

    def stream(
        self,
        question: str,
        exchanges: Sequence[Exchange] = (),
        stop: threading.Event | None = None,
        span: Span = EVER,
    ) -> Iterator[Found | str | Answer]:
        """What retrieval found, then the model's text piece by piece, then the whole Answer.

        When nothing in the corpus bears on the question there is the Answer alone, which says so. A [n] that names no
        citation never comes out. Setting `stop` ends the text early. One answer at a time: the others wait.
        """
        query = self.query(question)
        hits = self._search(query, None, span)
        if not self.retriever.bears_on(query, hits):
            yield Answer((), (), ABSTAINED, self.release.id, abstained=True)
            return
        found = self._found(query, hits)
        yield found
        chat = self._settings.sections.chat
        system = system_prompt(self.release.persona_prompt, self.release.persona)
        recent = list(exchanges)[-chat.history_turns :] if chat.history_turns else []
        messages = build_messages(system, recent, question, self._passages(hits))
        pieces: list[str] = []
        with self._generating:
            for piece in only_cited(self.generator.stream(messages, stop), len(hits)):
                pieces.append(piece)
                yield piece
        text = attribute("".join(pieces).strip(), hits)
        if self.release.toy:
            text = TOY_MARK + text
        yield Answer(found.quotes, found.citations, text, self.release.id, abstained=False)

    def _found(self, query: Query, hits: Sequence[Hit]) -> Found:
        quotes = best_quotes(query.terms, hits, self.release.host_labels)
        return Found(
            quotes=tuple(OwnWords(quote.n, quote.turn, quote.text) for quote in quotes),
            citations=tuple(
                Citation(n, hit.transcript, hit.date, hit.turns, hit.text) for n, hit in enumerate(hits, 1)
            ),
        )

    def _open(self, part: str) -> Artifact:
        return unpin(self._store, getattr(self.release, part))

    def _passages(self, hits: Sequence[Hit]) -> list[str]:
        """As much of the hits as the model shall see, the best first, each with the turns beside it where there is room."""
        left = self._settings.sections.chat.context_chars
        passages: list[str] = []
        for hit in hits:
            if left <= 0:
                break
            before, after = self.retriever.around(hit, self._settings.sections.retrieval.context_turns)
            beside = [[f"{line.label}{COLON}{line.text}" for line in lines] for lines in (before, after)]
            text = "\n".join([*beside[0], hit.text, *beside[1]])
            text = text if len(text) <= left else hit.text[:left]
            passages.append(f"{hit.date or '日期不详'}：{text}")
            left -= len(text)
        return passages


def reranker_for(settings: Settings) -> Reranker | None:
    """The reranker that the settings name, fetched where it is not here yet; None where they name none."""
    retrieval = settings.sections.retrieval
    if not retrieval.reranker:
        return None
    from hcf_pipeline.hub.snapshot import fetch_snapshot
    from hcf_pipeline.rag.reranker import load_reranker

    beside = settings.root / retrieval.reranker
    model = str(beside.resolve()) if beside.is_dir() else retrieval.reranker
    folder = fetch_snapshot(model, retrieval.reranker_revision, settings.sections.hub, "reranker").path
    return load_reranker(folder, settings.sections.chat.device, settings.sections.encoder.batch_size)
