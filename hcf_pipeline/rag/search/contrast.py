"""Two things that were said on one matter at different times, whose wording differs in one point: a negation, or a number.

Nothing is judged: whether he changed his mind, quotes somebody, or speaks of something else, the reader has to see. Compared
are clauses of a host's that hold words of the question, from different broadcasts. Without their negations (不, 没, 别, not, n't,
never, no) or numbers they have to be nearly the same; questions, conditions and "X 不 X" are left out. So few pairs are found,
and many more are missed.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hcf_pipeline.corpus.scripts import simplified
from hcf_pipeline.corpus.sentences import sentences
from hcf_pipeline.rag.index.terms import SHIFT, normalise, terms_of
from hcf_pipeline.rag.search.hits import Hit
from hcf_pipeline.rag.search.query import Query

MAX_CONTRASTS = 5
ALIKE = 0.82  # of what the clauses say beside the question's words and what differs, by rapidfuzz's Indel ratio
SHORT, LONG = 3, 30  # characters of that; three times as many letters
SAME_TERMS = 0.6  # of the question's words that either clause holds, held by both
HOLDS = 0.3  # of the question's weight


@dataclass(frozen=True)
class Statement:
    """A sentence of a host's, verbatim."""

    hit: Hit
    turn: int
    label: str
    start_s: float | None
    text: str


@dataclass(frozen=True)
class Contrast:
    kind: Literal["negation", "number"]
    then: Statement
    later: Statement
    said_then: str  # what differs; "" where one of them has no negation
    said_later: str


@dataclass(frozen=True)
class _Clause:
    statement: Statement
    rest: str  # beside the question's words, without negations, numbers as #: as it is compared
    bare: str  # with them
    words: frozenset[str]  # of the question, and pairs of its characters
    negations: tuple[str, ...]
    negated: str  # the characters behind the first negation
    numbers: tuple[str, ...]
    holds: float

    @property
    def date(self) -> datetime.date:
        return self.statement.hit.date or datetime.date.min


_NO_NEGATION = (
    "差不多|对不起|不好意思|不管|不仅|不但|不断|不过|不光|不止|不论|不然|不错|要不|不同|不一样|只不过|不得不|了不起|不一会|没准|没事|"
    "特别|别人|分别|区别|类别|级别|性别|告别|别的|别墅|辨别|识别|个别|派别|未来|未必|无论|非常|非洲|是非|除非|并非常"
)
_NEGATION = re.compile(
    rf"({_NO_NEGATION})|(不会|不能|不可能|不要|不用|没(?=有)|不(?=是)|没|不|别|未|"
    r"\b(?:not|never|no|cannot|can['’]t|(?:do|does|did|is|are|was|were|wo|would|could|should|has|have|had|ai)n['’]t)\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![a-zA-Z\d.])(百分之[零一二两三四五六七八九十百千点\d]+|\d[\d,]*(?:\.\d+)?\s*(?:[万亿千百]+|%|percent|k\b|million\b|billion\b)?"
    r"|[二两三四五六七八九十](?=块|元|岁|倍|折|公里|小时)|[一二两三四五六七八九十][零一二两三四五六七八九十百千万亿]*[十百千万亿][零一二两三四五六七八九十百千万亿]*)"
)
_ASKS = re.compile(
    r"[?？]|[吗呢么]\s*[,，。]?$|什么|怎么|为啥|多少|是不是|有没有|能不能|会不会|要不要|难道|哪|谁|几[个块万年]|^(?:what|why|how|who|is|are|do|does|did|can|would|could|should)\b",
    re.IGNORECASE,
)
_SUPPOSES = re.compile(
    r"如果|假如|要是|假设|比如|的话|他说|她说|你说|有人说|网友说|总说|说什么|\b(?:if|unless|suppose|said|says|would)\b",
    re.IGNORECASE,
)
_SPEAKS = re.compile(r"\s*(?:要|想|再|跟你|和你|跟他|在)*(?:聊|说|讲|谈|提|talk|say|said|discuss)", re.IGNORECASE)
_WHO = re.compile(r"我们|咱们|你们|他们|她们|人家|别人|大家|[我你他她]|\b(?:i|we|you|he|she|they)\b", re.IGNORECASE)
_SEVERAL = re.compile("([万千百亿]).*\\1")  # 一万两万三万
_EITHER = re.compile(r"(.)[不没]\1")
_CLAUSES = re.compile(r"[，,；;：:、]+")
_IDLE = re.compile(
    r"[啊呀吧嘛哦嗯呃哎唉哈也都还就的了很太]|会|可以|就是说|就是|那个|这个|然后|所以说|所以|因为|但是|而且|其实|当然|我觉得|我认为|对吧|对不对|是吧|我跟你讲|"
    r"\b(?:well|so|and|but|i think|i mean|you know|really|just|actually|the|a|an|do|does|did)\b",
    re.IGNORECASE,
)


def question_words(query: Query) -> dict[str, float]:
    """The words of a question, and the pairs of its characters, with their weights."""
    text = normalise_words(query.text)
    weights = dict(zip(query.terms.terms.tolist(), query.terms.idf.tolist(), strict=True))
    words = [*re.findall(r"[a-z0-9]+", text), *(text[at : at + 2] for at in range(len(text) - 1))]
    found: dict[str, float] = {}
    for word in words:
        for term in terms_of(word).tolist():
            if term in weights and term >> int(SHIFT) > 0 and " " not in word:
                found[word] = weights[term]
    return found


def normalise_words(text: str) -> str:
    """Lower case, simplified characters, one space between words."""
    kept = (c if c.isalnum() or c in "#'" else " " for c in text.lower().translate(simplified()))
    return " ".join("".join(kept).split())


def contrasts(words: Mapping[str, float], hits: Sequence[Hit], host_labels: Collection[str]) -> list[Contrast]:
    """At most MAX_CONTRASTS pairs, those that hold most of the question first; each sentence stands in one.

    `words` are the question's, see question_words.
    """
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cdist

    clauses = [clause for hit in hits for clause in _clauses(hit, host_labels, words)]
    if len(clauses) < 2:
        return []
    rest = [clause.rest for clause in clauses]
    alike = cdist(rest, rest, scorer=Indel.normalized_similarity, score_cutoff=ALIKE, dtype=np.float32)
    pairs = [(int(one), int(other)) for one, other in zip(*np.nonzero(np.triu(alike, 1)), strict=True)]
    pairs.sort(key=lambda pair: -(alike[pair] + clauses[pair[0]].holds + clauses[pair[1]].holds))
    found: list[Contrast] = []
    taken: set[tuple[str, str]] = set()
    for one, other in pairs:
        then, later = sorted((clauses[one], clauses[other]), key=lambda clause: clause.date)
        contrast = _contrast(then, later)
        places = {(clause.statement.hit.transcript, clause.statement.text) for clause in (then, later)}
        if contrast and not places & taken:
            taken |= places
            found.append(contrast)
            if len(found) == MAX_CONTRASTS:
                break
    return found


def _contrast(then: _Clause, later: _Clause) -> Contrast | None:
    shared, either = len(then.words & later.words), len(then.words | later.words)
    if set(_WHO.findall(then.rest)) != set(_WHO.findall(later.rest)):
        return None
    if (
        shared < SAME_TERMS * either
        or then.date == later.date
        or then.statement.hit.transcript == later.statement.hit.transcript
    ):
        return None
    if then.numbers == later.numbers and bool(then.negations) != bool(later.negations):
        negated, other = (then, later) if then.negations else (later, then)
        if len(negated.negations) > 1 or negated.negated not in other.bare:  # one negates another, or something else
            return None
        said = ("".join(then.negations), "".join(later.negations))
        return Contrast("negation", then.statement, later.statement, *said)
    if (
        then.negations == later.negations
        and then.numbers != later.numbers
        and len(then.numbers) == len(later.numbers) == 1
    ):
        return Contrast("number", then.statement, later.statement, then.numbers[0], later.numbers[0])
    return None


def _clauses(hit: Hit, host_labels: Collection[str], words: Mapping[str, float]) -> Iterator[_Clause]:
    for line in hit.lines:
        if line.label not in host_labels:
            continue
        for sentence in sentences(line.text, semicolons=True):
            if not any(word in normalise_words(sentence) for word in words):
                continue
            if _ASKS.search(sentence.strip()) or _SUPPOSES.search(sentence):
                continue
            statement = Statement(hit, line.turn, line.label, line.start_s, sentence.strip())
            for clause in _CLAUSES.split(sentence):
                if (read := _read(clause, statement, words)) is not None:
                    yield read


def _read(clause: str, statement: Statement, words: Mapping[str, float]) -> _Clause | None:
    if _EITHER.search(clause) or any(_SEVERAL.search(found[0]) for found in _NUMBER.finditer(clause)):
        return None
    numbers = tuple(normalise(found[0]) for found in _NUMBER.finditer(clause))
    found = [match for match in _NEGATION.finditer(clause) if match[2]]
    bare = normalise_words(_IDLE.sub(" ", _NEGATION.sub(lambda at: at[1] or " ", _NUMBER.sub("#", clause))))
    here = {word for word in words if re.search(rf"\b{word}s?\b" if word.isascii() else word, bare)}
    rest = bare
    for word in sorted(here, key=len, reverse=True):
        rest = rest.replace(word, " ")
    rest = " ".join(_left(rest, here).split())
    chars = 3 if bare.isascii() else 1
    holds = sum(words[word] for word in here) / max(sum(words.values()), 1e-9)
    said = rest.replace("#", "").replace(" ", "")
    if (
        holds < HOLDS
        or not SHORT * chars <= len(said) <= LONG * chars
        or (found and _SPEAKS.match(clause, found[0].end()))
    ):
        return None
    behind = normalise_words(_IDLE.sub(" ", clause[found[0].end() :])) if found else ""
    negated = behind.split(" ")[0] if behind.isascii() else behind[:2]
    return _Clause(
        statement, rest, bare, frozenset(here), tuple(one[2].lower() for one in found), negated, numbers, holds
    )


def _left(rest: str, words: Collection[str]) -> str:
    """Without the second half of a pair whose first went with the pair before (苹果手: 果手 overlaps 苹果)."""
    ends = {word[-1] for word in words if not word.isascii()}
    return " ".join(piece[1:] if piece[0] in ends and n else piece for n, piece in enumerate(rest.split(" ")) if piece)
