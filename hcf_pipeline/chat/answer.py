"""What an answer is: the model's words, the persona's own words, and where they stand."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from hcf_pipeline.errors import Lang


@dataclass(frozen=True)
class Phrases:
    """What an answer says in words of ours."""

    toy_mark: str  # before the text of a toy
    abstained: str
    no_own_words: str
    no_broadcast: str
    nearest: str
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
        nearest="离它最近的是 {days}。",
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
        nearest="The nearest are of {days}.",
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
class Found:
    """What the corpus says, before the model says anything."""

    quotes: tuple[OwnWords, ...]
    citations: tuple[Citation, ...]


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
            "release": self.release,
            "abstained": self.abstained,
            "generated": self.generated,
        }
