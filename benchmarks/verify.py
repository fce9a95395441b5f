"""How far `hcf verify` tells what was said from what was not.

    python benchmarks/verify.py --corpus FOLDER [--invented FILE] [--work FOLDER]

The settings are those that `hcf init` writes for the folder; --work may be that of benchmarks/retrieval.py. All is drawn with
fixed seeds. Sentences of the persona's, of MIN_CHARS compared characters at least and from one turn, are looked for

    as they are                 -> verbatim, their turn among the matches
    written otherwise           -> the same: without punctuation and in full width, with other spaces, in traditional characters
    a fifth changed             -> near, their turn the first match: a fifth of the characters replaced by any of the corpus
    a fifth put in or left out  -> the same
    a fifth of the words        -> the same, where the script has spaces: words replaced by any of the corpus
and not to be found are

    invented                    -> the lines of a file: what he never said, in his manner (benchmarks/invented.txt)
    halves joined               -> the first half of one sentence and the second of another
    a chain of characters       -> each follows the two before it as somewhere in the corpus: every three are real

A sentence of a fifth changed that stands in several places counts where one of them is the first.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.sentences import chars_of, sentences
from hcf_pipeline.corpus.survey import survey
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_transcripts, write_pair_table, write_turn_table
from hcf_pipeline.rag.chunking.chunks import CHUNKS, write_chunk_table
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.evaluation.measures import percentile
from hcf_pipeline.rag.index.index import Index
from hcf_pipeline.rag.index.terms import normalise
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.verify import Verification, verify
from hcf_pipeline.settings import CorpusSettings, Sections

MIN_CHARS, MAX_CHARS = 10, 120
N_REAL, N_FALSE = 500, 200
ALL = 1_000_000  # matches


class Said(NamedTuple):
    text: str
    transcript: str
    turn: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--invented", type=Path, help="a file with a sentence on each line")
    parser.add_argument("--work", type=Path, help="keeps what was built; an index that is there is used again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        corpus = CorpusSettings.model_validate(tomllib.loads(survey(given.corpus).toml("."))["corpus"])
        _build(given.corpus, work, Sections(corpus=corpus))
        index = Index(work / "index")
        said, labels = _said(work / TURNS)
        print(f"{index.n_chunks} chunks, {len(said)} sentences of {', '.join(labels)}\n")
        print(f"{'':28} {'n':>4} verbatim  near  not found  right turn      p50     p99")
        chosen = random.Random(0).sample(said, min(N_REAL, len(said)))
        letters = [c for one in random.Random(1).sample(said, min(5000, len(said))) for c in one.text if c.isalnum()]
        words = [word for one in random.Random(1).sample(said, min(5000, len(said))) for word in one.text.split()]
        for name, change in (
            ("as they are", lambda text, dice: text),
            ("written otherwise", _otherwise),
            ("a fifth changed", lambda text, dice: _replaced(text, letters, dice)),
            ("a fifth put in or left out", lambda text, dice: _put_in_or_left_out(text, letters, dice)),
            ("a fifth of the words", lambda text, dice: _other_words(text, words, dice)),
        ):
            if name.endswith("words") and chars_of(one.text for one in chosen) == 1:
                continue
            _ask(name, [(change(one.text, random.Random(n)), one) for n, one in enumerate(chosen)], index, labels)
        false = {
            "halves joined": _joined(random.Random(2).sample(said, 2 * N_FALSE)),
            "a chain of characters": _chains([one.text for one in said], [one.text for one in chosen[:N_FALSE]]),
        }
        if given.invented:
            lines = given.invented.read_text(encoding="utf-8").splitlines()
            false = {"invented": [line for line in lines if line.strip()]} | false
        for name, quotes in false.items():
            _ask(name, [(quote, None) for quote in quotes], index, labels)


def _build(corpus: Path, work: Path, sections: Sections) -> None:
    if (work / "index" / "index.json").is_file():
        return
    write_turn_table(scan(corpus.resolve(), sections.corpus), Grammar(sections.corpus), work)
    write_pair_table(work / TURNS, work)
    write_chunk_table(work / TURNS, sections.chunks, work)
    fit_encoder(work / PAIRS, sections.encoder, (), work / "encoder")
    for name in ("embeddings", "index"):
        (work / name).mkdir(parents=True)
    encoder = load_encoder(work / "encoder", "cpu", sections.encoder)
    write_embeddings(work / CHUNKS, encoder, VectorCache(work / "vectors"), work / "embeddings")
    write_index(work / CHUNKS, work / "embeddings", work / "index")


def _said(turns: Path) -> tuple[list[Said], list[str]]:
    """(the host's sentences that are long enough, each text once; his labels, the most frequent first)."""
    found: dict[str, Said] = {}
    labels: Counter[str] = Counter()
    for path, _, here in read_transcripts(turns):
        for turn in here:
            if turn.side == "host":
                labels[turn.label] += 1
                for text in sentences(turn.text, semicolons=True):
                    if len(normalise(text)) >= MIN_CHARS and len(text) <= MAX_CHARS:
                        found.setdefault(text.strip(), Said(text.strip(), path, turn.no))
    return list(found.values()), [label for label, _ in labels.most_common()]


def _otherwise(text: str, dice: random.Random) -> str:
    import opencc

    plain = "".join(c if c.isalnum() or c in " '’." else dice.choice(["", " ", "——"]) for c in text)
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() and dice.random() < 0.5 else c for c in plain)
    return str(opencc.OpenCC("s2t").convert(wide))


def _fifth(text: str, dice: random.Random) -> list[int]:
    places = [n for n, c in enumerate(text) if c.isalnum()]
    return sorted(dice.sample(places, len(places) // 5), reverse=True)


def _replaced(text: str, letters: Sequence[str], dice: random.Random) -> str:
    changed = list(text)
    for place in _fifth(text, dice):
        changed[place] = dice.choice(letters)
    return "".join(changed)


def _put_in_or_left_out(text: str, letters: Sequence[str], dice: random.Random) -> str:
    changed = list(text)
    for place in _fifth(text, dice):
        changed[place : place + 1] = [] if dice.random() < 0.5 else [changed[place], dice.choice(letters)]
    return "".join(changed)


def _other_words(text: str, words: Sequence[str], dice: random.Random) -> str:
    changed = text.split()
    for place in dice.sample(range(len(changed)), max(1, len(changed) // 5)):
        changed[place] = dice.choice(words)
    return " ".join(changed)


def _joined(said: Sequence[Said]) -> list[str]:
    """The halves of pairs of about one length: of unequal ones most of what is joined is one sentence's."""
    said = sorted(said, key=lambda one: len(one.text))
    pairs = zip(said[::2], said[1::2], strict=True)
    return [one.text[: len(one.text) // 2] + other.text[len(other.text) // 2 :] for one, other in pairs]


def _chains(texts: Sequence[str], beginnings: Sequence[str]) -> list[str]:
    """Each as long as a real sentence, and beginning as it does; every character follows the two before it in the corpus."""
    following: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        for at in range(len(text) - 2):
            following[text[at : at + 2]].append(text[at + 2])
    dice = random.Random(3)
    found: list[str] = []
    for beginning in beginnings:
        chain = beginning[:2]
        while len(chain) < len(beginning) and (choices := following.get(chain[-2:])):
            chain += dice.choice(choices)
        found.append(chain)
    return [chain for chain in found if normalise(chain)]


def _ask(name: str, asked: Sequence[tuple[str, Said | None]], index: Index, labels: Sequence[str]) -> None:
    verdicts: Counter[str] = Counter()
    right = 0
    milliseconds: list[float] = []
    for quote, said in asked:
        started = time.perf_counter()
        found = verify(quote, index, labels, ALL)
        milliseconds.append(1000 * (time.perf_counter() - started))
        verdicts[found.verdict] += 1
        right += said is not None and _is_right(found, said)
    at = f"{right:10}" if asked[0][1] else " " * 10
    times = f"{percentile(milliseconds, 0.5):6.1f} ms {percentile(milliseconds, 0.99):4.0f} ms"
    print(
        f"{name:28} {len(asked):4} {verdicts['verbatim']:8} {verdicts['near']:5} {verdicts['not found']:10} {at} {times}",
        flush=True,
    )


def _is_right(found: Verification, said: Said) -> bool:
    """Whether the turn is among the places of a verbatim sentence, or the first match says what that turn says."""
    if found.verdict == "verbatim":
        return any((match.transcript, match.turn) == (said.transcript, said.turn) for match in found.matches)
    if not found.matches:
        return False
    first = found.matches[0]
    same = normalise(said.text) in normalise(first.text) or normalise(first.text) in normalise(said.text)
    return (first.transcript, first.turn) == (said.transcript, said.turn) or same


if __name__ == "__main__":
    main()
