"""Chunking speed beside LangChain's splitter: `python benchmarks/chunking.py --corpus FOLDER`.

One core, the files' bytes in memory. "parse and pack" reads bytes into turns and cuts them into spans of at most 500
characters; "chunk rows" writes out their text, ids and content hashes as well. LangChain's
RecursiveCharacterTextSplitter(500, 50) gets the same text, decoded, and knows nothing of turns; it is measured where
`langchain-text-splitters` is installed (the project doesn't need it). The last line cuts the text every 500 characters.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.transcript import parse_transcript
from hcf_pipeline.rag.chunking.chunks import chunk_transcript
from hcf_pipeline.rag.chunking.pack import pack_turns
from hcf_pipeline.settings import ChunkSettings, CorpusSettings

RUNS = 5


def best(work: Callable[[], int]) -> tuple[float, int]:
    """(seconds of the fastest run, how many chunks it made)"""
    times: list[float] = []
    made = 0
    for _ in range(RUNS):
        began = time.perf_counter()
        made = work()
        times.append(time.perf_counter() - began)
    return min(times), made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    corpus = parser.parse_args().corpus.resolve()
    grammar, settings = Grammar(CorpusSettings()), ChunkSettings()
    texts = [(corpus / file.path).read_bytes() for file in scan(corpus, CorpusSettings()).files]
    megabytes = sum(map(len, texts)) / 1e6

    def pack() -> int:
        turns = ([t for t in parse_transcript(text.decode(), grammar).turns if t.text] for text in texts)
        return sum(len(pack_turns(of_text, settings.max_chars)) for of_text in turns)

    def rows() -> int:
        return sum(
            len(chunk_transcript("x", parse_transcript(text.decode(), grammar).turns, settings)) for text in texts
        )

    def slices() -> int:
        decoded = (text.decode() for text in texts)
        return sum(len([text[at : at + 500] for at in range(0, len(text), 500)]) for text in decoded)

    measured = {"parse and pack": best(pack), "chunk rows": best(rows), "slices": best(slices)}
    try:
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        splitter = RecursiveCharacterTextSplitter(chunk_size=500, chunk_overlap=50)
        measured["LangChain"] = best(lambda: sum(len(splitter.split_text(text.decode())) for text in texts))
    except ImportError:
        print("langchain-text-splitters is not installed: measured without it")
    reference = measured.get("LangChain", measured["slices"])[0]
    print(f"{len(texts)} files, {megabytes:.1f} MB, best of {RUNS}")
    for name, (seconds, made) in measured.items():
        print(
            f"{name:16} {megabytes / seconds:7.1f} MB/s  {made:7} chunks  {reference / seconds:5.1f} times as fast as "
            + ("LangChain" if "LangChain" in measured else "slices")
        )


if __name__ == "__main__":
    main()
