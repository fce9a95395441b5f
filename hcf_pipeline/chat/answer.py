"""What an answer is: the model's words, the persona's own words, and where they stand."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from hcf_pipeline.errors import Lang


@dataclass(frozen=True)
class Phrases:
    """What an answer says in words of ours."""

    toy_mark: str  # before the text of a toy
    abstained: str
    no_own_words: str
    no_broadcast: str
    no_dates: str
    nearest: str
    n_broadcasts: str
    one_broadcast: str
    not_named: str  # how many more there are
    not_said: str  # of a broadcast without words of a host's
    says: str  # who or when, before what was said
    from_to: str
    since: str
    until: str
    between: str  # days of a list
    quote: str
    colon: str  # behind who says it


PHRASES: Mapping[Lang, Phrases] = {
    "zh": Phrases(
        toy_mark="（玩具模型）",
        abstained="文字稿里没有找到和这个问题有关的内容，所以不作回答。",
        no_own_words="找到了和这个问题有关的段落，但里面没有{persona}自己说的话，所以只列出处。",
        no_broadcast="文稿里没有 {time} 的直播。",
        no_dates="文稿没有日期，不知道哪些是 {time} 的。",
        nearest="离它最近的是 {days}。",
        n_broadcasts="{time} 有 {n} 场直播",
        one_broadcast="{time} 有 1 场直播",
        not_named="，这里列出 {n} 场",
        not_said="（没有主播自己的话）",
        says="{who}：",
        from_to="{since} 到 {until}",
        since="{since} 以后",
        until="{until} 以前",
        between="、",
        quote="「{text}」",
        colon="：",
    ),
    "en": Phrases(
        toy_mark="(toy model) ",
        abstained="Nothing about this was found in the transcripts, so there is no answer.",
        no_own_words="There are passages about this, but none of {persona}'s own words in them, so only the sources are listed.",
        no_broadcast="There is no transcript of {time}. ",
        no_dates="The transcripts bear no dates, so none is known to be of {time}. ",
        nearest="The nearest are of {days}.",
        n_broadcasts="{n} transcripts of {time}",
        one_broadcast="1 transcript of {time}",
        not_named=", {n} of them here",
        not_said="(no words of a host's)",
        says="{who}: ",
        from_to="{since} to {until}",
        since="{since} or later",
        until="{until} or earlier",
        between=" and ",
        quote="“{text}”",
        colon=": ",
    ),
}


@dataclass(frozen=True)
class Citation:
    n: int  # the [n] of the answer
    transcript: str
    date: datetime.date | None
    turns: tuple[int, int]
    text: str  # the chunk, labels kept, one turn a line
    start_s: float | None = None  # when its first turn begins, seconds from the file's beginning
    link: str | None = None  # where it opens, see [corpus] link


@dataclass(frozen=True)
class OwnWords:
    """One to three sentences of a host's, verbatim, and where they were said."""

    n: int  # of the citation that they stand in
    transcript: str
    date: datetime.date | None
    turn: int
    label: str  # of who says them
    text: str
    start_s: float | None = None  # when the turn begins
    link: str | None = None


@dataclass(frozen=True)
class Covered:
    """A time that a question was about and nothing else, and the broadcasts of it."""

    since: datetime.date | None  # None: without a beginning
    until: datetime.date | None
    n_broadcasts: int
    n_named: int  # that the answer has something of
    nearest: tuple[datetime.date, ...] = ()  # the days nearest to it, where it has no broadcast

    def named(self, phrases: Phrases) -> str:
        """2024-03-05, or 2024-03-01 to 2024-03-31."""
        since, until = (str(day) if day else None for day in (self.since, self.until))
        form = phrases.from_to if since and until else phrases.since if since else phrases.until
        return since if since and since == until else form.format(since=since, until=until)

    def said(self, phrases: Phrases) -> str:
        """How many broadcasts there are of it; or that there is none, and which are the nearest."""
        time = self.named(phrases)
        if self.n_broadcasts:
            form = phrases.one_broadcast if self.n_broadcasts == 1 else phrases.n_broadcasts
            left = self.n_named < self.n_broadcasts
            more = phrases.not_named.format(n=self.n_named) if left else ""
            return form.format(time=time, n=self.n_broadcasts) + more
        if not self.nearest:
            return phrases.no_dates.format(time=time).strip()
        listed = phrases.between.join(map(str, self.nearest))
        return phrases.no_broadcast.format(time=time) + phrases.nearest.format(days=listed)


@dataclass(frozen=True)
class Found:
    """What the corpus says, before the model says anything."""

    quotes: tuple[OwnWords, ...]
    citations: tuple[Citation, ...]
    times: tuple[Covered, ...] = field(default=(), kw_only=True)  # of a question that is only about them

    @property
    def by_broadcast(self) -> list[tuple[list[Citation], list[OwnWords]]]:
        """The citations of each broadcast, in their order, with the quotations in them."""
        grouped: dict[str, list[Citation]] = {}
        for citation in self.citations:
            grouped.setdefault(citation.transcript, []).append(citation)
        return [(cited, [q for q in self.quotes if q.transcript == name]) for name, cited in grouped.items()]


@dataclass(frozen=True)
class Answer(Found):
    text: str
    release: str
    abstained: bool
    generated: bool = True  # false where `text` is the quotations themselves, or says that there is nothing

    def as_json(self) -> dict[str, object]:
        """The contract of `hcf ask --json`."""
        return {
            "answer": self.text,
            "quotes": [
                {
                    "n": q.n,
                    "label": q.label,
                    "transcript": q.transcript,
                    "date": q.date.isoformat() if q.date else None,
                    "turn": q.turn,
                    "text": q.text,
                    "start_s": q.start_s,
                    "link": q.link,
                }
                for q in self.quotes
            ],
            "citations": [
                {
                    "n": c.n,
                    "transcript": c.transcript,
                    "date": c.date.isoformat() if c.date else None,
                    "turns": list(c.turns),
                    "text": c.text,
                    "start_s": c.start_s,
                    "link": c.link,
                }
                for c in self.citations
            ],
            "times": [
                {
                    "since": time.since.isoformat() if time.since else None,
                    "until": time.until.isoformat() if time.until else None,
                    "broadcasts": time.n_broadcasts,
                    "named": time.n_named,
                    "nearest": [day.isoformat() for day in time.nearest],
                }
                for time in self.times
            ],
            "release": self.release,
            "abstained": self.abstained,
            "generated": self.generated,
        }
