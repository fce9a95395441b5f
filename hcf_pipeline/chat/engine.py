"""The chat model of one release: retrieval, then base + adapter, then citations.

Used by `hcf ask`, `hcf chat` and the Dagster resource alike. An engine answers by what its release pins, settings included,
and holds a lease on every part of it, so nothing of it is cleared away while it is in use. Loading is lazy: retrieval loads
the encoder only, the language model loads with the first answer. A process holds the newest release once (`engine_for`).
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from hcf_pipeline.chat.answer import (
    PHRASES,
    Answer,
    Citation,
    Covered,
    Found,
    OwnWords,
    Phrases,
)
from hcf_pipeline.chat.generate import Generator, load_generator
from hcf_pipeline.chat.release import (
    ADAPTER,
    BASE,
    ENCODER,
    INDEX,
    POINTER,
    TURNS,
    Release,
    current_release,
    require_pinned,
)
from hcf_pipeline.chat.serving import served_by
from hcf_pipeline.corpus.link import fields_of, link_to
from hcf_pipeline.corpus.sentences import whole_words
from hcf_pipeline.corpus.tables import read_metadata
from hcf_pipeline.errors import Lang, NotReady
from hcf_pipeline.hub.models import model_folder, require_unchanged
from hcf_pipeline.lm.prompt import Exchange, Message, Words, build_messages, system_prompt, words_for
from hcf_pipeline.rag.chunking.lines import begins_at, shown
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.overview import Broadcast, Passage
from hcf_pipeline.rag.search.periods import EVER, Period, Span
from hcf_pipeline.rag.search.query import Query, today_in
from hcf_pipeline.rag.search.quotes import Quote, attribute, best_quotes, only_cited
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.rag.search.timeline import Timeline, timeline
from hcf_pipeline.rag.search.verify import MAX_MATCHES, Verification, verify
from hcf_pipeline.settings import Sections, Settings
from hcf_pipeline.store import Artifact, Store
from hcf_pipeline.text import well_formed

if TYPE_CHECKING:
    from hcf_pipeline.hub.models import ModelSource
    from hcf_pipeline.rag.search.retriever import Reranks

T = TypeVar("T")

WRITTEN = frozenset({"title", "url"})  # fields of a link that the front matter of a transcript holds
TRIES = 3  # a release may be replaced, and its parts cleared away, while it is being opened

_engines: dict[tuple[Path, str, str], Engine] = {}
_opening = threading.Lock()


def engine_for(settings: Settings, tried: Mapping[str, object] | None = None) -> Engine:
    """The engine of the release that serves now; opened once per process, release and settings.

    `tried` are settings that change an answer (see serving.py) with other values than the release pins.
    """
    with _opening:
        for attempt in range(TRIES):
            store = Store(settings.home)
            release = current_release(store)
            key = (settings.home, release.id, f"{settings.sections.model_dump_json()} {sorted((tried or {}).items())}")
            if key not in _engines:
                try:
                    opened = Engine(release, store, settings, tried)
                except NotReady:
                    if attempt == TRIES - 1 or current_release(store).id == release.id:
                        raise
                    continue
                _engines.clear()  # an older release's weights make room
                _engines[key] = opened
            return _engines[key]
        raise AssertionError("unreachable")


def engine_of(store: Store, settings: Settings, artifact: Artifact, *, seed: int) -> Engine:
    """The engine of one release, whatever serves now; whoever asked for it holds it. `seed` where the release sets none."""
    release = Release.load(artifact.file(POINTER))
    return Engine(release, store, settings, {"chat.seed": seed} if release.serving.get("chat.seed") is None else None)


class _Once(Generic[T]):
    """A value that is made when it is first asked for, once for all threads. (`cached_property` has no lock.)"""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


class Engine:
    """Safe to share between threads. Raises NotReady when a part of the release is gone, ArtifactError when it is damaged."""

    def __init__(
        self, release: Release, store: Store, settings: Settings, tried: Mapping[str, object] | None = None
    ) -> None:
        self.release = release
        self._store = store
        self._sections = served_by(served_by(settings.sections, release.serving), tried or {})
        self._leases = {name: store.lease(part.asset, part.version) for name, part in release.parts.items()}
        for name, part in release.parts.items():
            require_pinned(self._leases[name].artifact, part)
        self._index = _Once(lambda: Index(self._verified(INDEX).path, verified=True))
        self._retriever = _Once(self._open_retriever)
        self._generator = _Once(self._open_generator)
        self._turns = _Once(lambda: self._verified(TURNS).path)
        self._metadata = _Once(lambda: read_metadata(self.turns))

    def close(self) -> None:
        """Lets go of the release's parts at once; without it they are held until this object is collected."""
        for lease in self._leases.values():
            lease.release()

    @property
    def retriever(self) -> Retriever:
        return self._retriever()

    @property
    def generator(self) -> Generator | None:
        """None where nothing was trained, or where [lora] enabled is off: then answers are quotations."""
        return self._generator() if self.generates else None

    @property
    def generates(self) -> bool:
        return self.release.is_trained and self._sections.lora.enabled

    @property
    def turns(self) -> Path:
        """The folder of the turn table that the index was made from."""
        return self._turns()

    def link(self, transcript: str, date: datetime.date | None, start_s: float | None) -> str | None:
        """Where a place of the corpus opens, by [corpus] link; None where it lacks a value that the link asks for."""
        template = self._sections.corpus.link
        if not template:
            return None
        values = {"path": transcript, "date": date.isoformat() if date else ""}
        values["start_s"] = "" if start_s is None else str(int(start_s))
        if WRITTEN & set(fields_of(template)):
            values |= {name: self._metadata().get(transcript, {}).get(name, "") for name in WRITTEN}
        return link_to(template, values)

    def retrieve(
        self, question: str, k: int | None = None, span: Span = EVER, *, broadcasts: bool = False
    ) -> list[Hit]:
        """The k best chunks of the broadcasts in `span`, best first; with `broadcasts` the best one of each of k broadcasts."""
        query, k = self.query(question, span), k or self._sections.retrieval.top_k
        return self.retriever.search(query, k, *span, one_per_transcript=True if broadcasts else None)

    def timeline(self, question: str, span: Span = EVER) -> Timeline:
        """What hosts said on a question month by month, and where it was put otherwise."""
        return timeline(self.retriever, self.query(well_formed(question), span), span, self.release.host_labels)

    def verify(self, quote: str, n_matches: int = MAX_MATCHES) -> Verification:
        """Whether a host said what is quoted, and where. Raises UserError for a quotation that is empty or too long."""
        return verify(well_formed(quote), self._index(), self.release.host_labels, n_matches)

    def query(self, question: str, span: Span = EVER) -> Query:
        """The question as it is asked today."""
        return self.retriever.query(question, self.today(), span, self.release.host_labels)

    def today(self) -> datetime.date:
        """`[retrieval] today`, else the calendar day in `[refresh] timezone`."""
        sections = self._sections
        return sections.retrieval.today or today_in(sections.refresh.timezone)

    def _search(self, query: Query, k: int | None, span: Span) -> list[Hit]:
        return self.retriever.search(query, k or self._sections.retrieval.top_k, *span)

    def answer(self, question: str, exchanges: Sequence[Exchange] = (), span: Span = EVER, lang: Lang = "zh") -> Answer:
        *_, last = self.stream(question, exchanges, span=span, lang=lang)
        assert isinstance(last, Answer)
        return last

    def stream(
        self,
        question: str,
        exchanges: Sequence[Exchange] = (),
        stop: threading.Event | None = None,
        span: Span = EVER,
        lang: Lang = "zh",
    ) -> Iterator[Found | str | Answer]:
        """What retrieval found, then the model's text piece by piece, then the whole Answer.

        `lang` is that of the sentences that are ours. When nothing in the corpus bears on the question there is the Answer
        alone, which says so. A [n] that names no citation never comes out. Setting `stop` ends the text early. A reader who pauses keeps nobody waiting.
        """
        question, phrases = well_formed(question), PHRASES[lang]
        query = self.query(question, span)
        if query.asks_only_when:
            found, hits, passages = self._of_a_time(query, span, phrases)
            text = self._told_of_a_time(found, phrases)
            if not hits:
                yield Answer((), (), text, self.release.id, abstained=True, generated=False, times=found.times)
                return
        else:
            hits = self._search(query, None, span)
            if not self.retriever.bears_on(query, hits):
                yield Answer((), (), phrases.abstained, self.release.id, abstained=True, generated=False)
                return
            found, passages = self._found(query, hits, phrases), self._passages(hits)
            text = "".join(f"{phrases.quote.format(text=quote.text)}[{quote.n}]" for quote in found.quotes)
            text = text or phrases.no_own_words.format(persona=self.release.persona)
        yield found
        if generator := self.generator:
            messages = self._messages(question, exchanges, passages)
            pieces: list[str] = []
            for piece in only_cited(generator.stream(messages, stop), len(hits)):
                pieces.append(piece)
                yield piece
            text = attribute("".join(pieces).strip(), hits)
            if self.release.toy:
                text = phrases.toy_mark + text
        yield Answer(
            found.quotes,
            found.citations,
            text,
            self.release.id,
            abstained=False,
            generated=generator is not None,
            times=found.times,
        )

    def _of_a_time(self, query: Query, span: Span, phrases: Phrases) -> tuple[Found, list[Hit], list[str]]:
        """What the time of a question was about that asks for nothing else: (found, its hits, what the model is shown)."""
        broadcasts = self.retriever.overview(query, span, self.release.host_labels)
        passages = [passage for broadcast in broadcasts for passage in broadcast.passages]
        hits = [passage.hit for passage in passages]
        found = Found(
            tuple(self._own_words(passage.quote, passage.hit) for passage in passages if passage.quote),
            tuple(self._citation(number, hit, phrases) for number, hit in enumerate(hits, 1)),
            times=tuple(self._covered(period, span, broadcasts) for period in query.periods),
        )
        each = self._sections.chat.context_chars // max(len(passages), 1)
        words = words_for(self._system)
        return found, hits, [f"{p.hit.date or words.undated}{words.colon}{_at_most(p, each, words)}" for p in passages]

    def _covered(self, period: Period, span: Span, broadcasts: Sequence[Broadcast]) -> Covered:
        since = max(period.since, span[0] or datetime.date.min)
        until = min(period.until, span[1] or datetime.date.max)
        within = Period(since, until)
        n_there = self.retriever.days.n_broadcasts(within)
        return Covered(
            since if since > datetime.date.min else None,
            until if until < datetime.date.max else None,
            n_there,
            sum(1 for one in broadcasts if one.date and since <= one.date <= until),
            () if n_there else tuple(self.retriever.days.nearest(within)),
        )

    def _told_of_a_time(self, found: Found, phrases: Phrases) -> str:
        """The quotations of each broadcast in a line of its own, below how many there are."""
        lines = [time.said(phrases) + (phrases.colon.rstrip() if time.n_broadcasts else "") for time in found.times]
        for cited, quotes in found.by_broadcast:
            said = "".join(f"{phrases.quote.format(text=quote.text)}[{quote.n}]" for quote in quotes)
            lines.append(phrases.says.format(who=cited[0].date) + (said or phrases.not_said))
        return "\n".join(lines)

    def _messages(self, question: str, exchanges: Sequence[Exchange], passages: Sequence[str]) -> list[Message]:
        n = self._sections.chat.history_turns
        return build_messages(self._system, list(exchanges)[-n:] if n else [], question, passages)

    @property
    def _system(self) -> str:
        return system_prompt(self._sections.chat.persona_prompt, self.release.persona)

    def _found(self, query: Query, hits: Sequence[Hit], phrases: Phrases) -> Found:
        quotes = best_quotes(query.terms, hits, self.release.host_labels)
        return Found(
            quotes=tuple(self._own_words(quote, hits[quote.n - 1]) for quote in quotes),
            citations=tuple(self._citation(n, hit, phrases) for n, hit in enumerate(hits, 1)),
        )

    def _own_words(self, quote: Quote, hit: Hit) -> OwnWords:
        start_s = begins_at(line for line in hit.lines if line.turn == quote.turn)
        link = self.link(hit.transcript, hit.date, start_s)
        return OwnWords(quote.n, hit.transcript, hit.date, quote.turn, quote.label, quote.text, start_s, link)

    def _citation(self, n: int, hit: Hit, phrases: Phrases) -> Citation:
        link = self.link(hit.transcript, hit.date, hit.start_s)
        said = shown(hit.lines, phrases.colon)
        return Citation(n, hit.transcript, hit.date, hit.turns, said, hit.start_s, link)

    def _open_retriever(self) -> Retriever:
        from hcf_pipeline.rag.encode.encoder import load_encoder

        encoder = load_encoder(model_folder(self._verified(ENCODER)), "cpu", self._sections.encoder)
        source = self.release.reranker if self._sections.retrieval.reranker else None  # "": tried without it
        reranker = open_reranker(source, self._store.home, self._sections)
        index = self._index()
        index.require_encoder(encoder.identity, encoder.dim)
        return Retriever(index, encoder, self._sections.retrieval, reranker, self.release.fusion)

    def _open_generator(self) -> Generator:
        return load_generator(model_folder(self._verified(BASE)), self._verified(ADAPTER).path, self._sections)

    def _verified(self, name: str) -> Artifact:
        artifact = self._leases[name].artifact
        self._store.verify(artifact)  # damage is marked, so that the next refresh or the automation heals it
        return artifact

    def _passages(self, hits: Sequence[Hit]) -> list[str]:
        """As much of the hits as the model shall see, the best first, each with the turns beside it where there is room."""
        words, left = words_for(self._system), self._sections.chat.context_chars
        passages: list[str] = []
        for hit in hits:
            if left <= 0:
                break
            before, after = self.retriever.around(hit, self._sections.retrieval.context_turns)
            text = shown([*before, *hit.lines, *after], words.colon)
            text = text if len(text) <= left else shown(hit.lines, words.colon)[:left]
            passages.append(f"{hit.date or words.undated}{words.colon}{text}")
            left -= len(text)
        return passages


def _at_most(passage: Passage, n_chars: int, words: Words) -> str:
    """An exchange, where it is short enough, else the quotation in it, else its beginning."""
    whole = shown(passage.hit.lines, words.colon)
    if len(whole) > n_chars and passage.quote:
        whole = f"{passage.quote.label}{words.colon}{passage.quote.text}"
    return whole[: whole_words(whole, 0, n_chars)]


def open_reranker(source: ModelSource | None, home: Path, sections: Sections) -> Reranks | None:
    """A reranker as it was pinned, if one was. Raises NotReady where it is gone, ArtifactError where its files are others."""
    if source is None:
        return None
    if source.source == "server":
        from hcf_pipeline.rag.search.server_reranker import ServerReranker

        return ServerReranker(source.model, sections)
    from hcf_pipeline.rag.search.reranker import load_reranker

    return load_reranker(require_unchanged(source, home), sections.chat.device, sections.encoder.batch_size)


def pinned_reranker(settings: Settings) -> ModelSource | None:
    """The reranker that the settings name, fetched where it is not here yet; None where they name none."""
    from hcf_pipeline.hub.models import ModelSource
    from hcf_pipeline.hub.snapshot import pinned_model

    retrieval = settings.sections.retrieval
    if not retrieval.reranker:
        return None
    if retrieval.reranker_url:
        return ModelSource("server", retrieval.reranker, "", "")
    return pinned_model(settings, retrieval.reranker, retrieval.reranker_revision, "reranker")
