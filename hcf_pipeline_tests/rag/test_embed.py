from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.arrays import Vectors
from hcf_pipeline.rag.encode import embed, vector_cache
from hcf_pipeline.rag.encode.embed import EmbeddingReport, Embeddings, write_embeddings
from hcf_pipeline.rag.encode.encoder import Encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.encode.vector_file import VectorFile
from hcf_pipeline_tests.rag.conftest import Built, texts_of, write_chunks


class Counting(Encoder):
    """An encoder that remembers what it was asked for, and may be killed."""

    def __init__(self, encoder: Encoder, last: int = 10**9) -> None:
        self.__dict__.update(encoder.__dict__)
        self.asked: list[str] = []
        self.last = last

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        if len(self.asked) >= self.last:
            raise KeyboardInterrupt
        self.asked += texts
        return super().encode_documents(texts)


def talk(n: int, word: str = "句") -> tuple[datetime.date | None, list[Turn]]:
    """A transcript of n chunks."""
    return None, [Turn(no, "host", "江照野", f"第{no}{word}话。" + "说" * (36 + no % 20), "") for no in range(1, n + 1)]


def run(chunks: Path, encoder: Encoder, cache: VectorCache, out: Path) -> EmbeddingReport:
    out.mkdir()
    return write_embeddings(chunks, encoder, cache, out)


def hashes(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    return np.array([f"{number:032x}".encode() for number in numbers])


def unit(n: int, dim: int = 4) -> Vectors:
    return np.eye(dim, dtype=np.float32)[np.arange(n) % dim]


def test_each_text_is_encoded_once_in_order_of_its_length(built: Built, tmp_path: Path) -> None:
    counting = Counting(built.encoder)
    report = run(built.chunks, counting, VectorCache(tmp_path / "cache"), tmp_path / "out")
    assert report.n_encoded == report.n_texts == len(counting.asked) == len(set(counting.asked))
    assert report.n_texts < len(texts_of(built.chunks))  # the greetings are the same in every broadcast
    assert [len(text) for text in counting.asked] == sorted((len(t) for t in counting.asked), reverse=True)
    assert not any("江照野" in text or "水友：" in text for text in counting.asked)


def test_every_text_has_its_own_vector(built: Built) -> None:
    from hcf_pipeline.corpus.parts import Table

    known = Embeddings.load(built.embeddings)
    for _, (hash_, text) in Table(built.chunks).read(["content_hash", "text"]):
        places = known.places(np.array(hash_.to_pylist(), dtype=np.bytes_))
        expected = built.encoder.encode_documents(text.to_pylist())
        assert known.take(places) == pytest.approx(expected, abs=1e-6)
    assert known.places(hashes(1)).tolist() == [-1]


def test_only_what_is_new_is_encoded_and_the_other_vectors_are_shared_not_written(built: Built, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    before = {"a.md": talk(30), "b.md": talk(20, "段")}
    known = Counting(built.encoder)
    first = run(write_chunks(before, tmp_path / "c1"), known, cache, tmp_path / "one")
    _, turns = talk(30)
    turns[5] = turns[5]._replace(text="这一段换掉了。" + "说" * 40)
    counting = Counting(built.encoder)
    after = {"renamed.md": before["b.md"], "a.md": (None, turns)}
    second = run(write_chunks(after, tmp_path / "c2"), counting, cache, tmp_path / "two")
    assert 1 <= len(counting.asked) == second.n_encoded <= 3 and second.version != first.version
    assert not set(counting.asked) & set(known.asked)
    (old,) = (tmp_path / "one").glob("*.vectors")
    assert (tmp_path / "two" / old.name).stat().st_ino == old.stat().st_ino
    back = run(write_chunks(before, tmp_path / "c3"), Counting(built.encoder, last=0), cache, tmp_path / "three")
    assert back == EmbeddingReport(first.version, first.n_texts, 0)


def test_a_killed_run_is_taken_up_where_it_was(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "SLAB", 8)
    monkeypatch.setattr(embed, "SORTED", 24)
    chunks, cache = write_chunks({"a.md": talk(60)}, tmp_path / "chunks"), VectorCache(tmp_path / "cache")
    killed = Counting(built.encoder, last=40)
    with pytest.raises(KeyboardInterrupt):
        run(chunks, killed, cache, tmp_path / "killed")
    again = Counting(built.encoder)
    report = run(chunks, again, VectorCache(tmp_path / "cache"), tmp_path / "again")
    assert not set(again.asked) & set(killed.asked)
    assert len(again.asked) + len(killed.asked) == report.n_texts
    whole = run(chunks, built.encoder, VectorCache(tmp_path / "other cache"), tmp_path / "whole")
    assert whole.version == report.version
    wanted = Embeddings.load(tmp_path / "whole").files[0].hashes
    one, two = (Embeddings.load(tmp_path / name) for name in ("again", "whole"))
    assert one.take(one.places(wanted)) == pytest.approx(two.take(two.places(wanted)), abs=1e-6)


def test_progress_counts_the_new_texts(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "SLAB", 8)
    seen: list[tuple[int, int]] = []
    chunks = write_chunks({"a.md": talk(20)}, tmp_path / "chunks")
    (tmp_path / "out").mkdir()
    cache = VectorCache(tmp_path / "cache")
    write_embeddings(chunks, built.encoder, cache, tmp_path / "out", lambda *at: seen.append(at))
    n_texts = len(texts_of(chunks))
    assert seen == [(min(n, n_texts), n_texts) for n in range(8, n_texts + 8, 8)]


@pytest.mark.parametrize("damage", ["cut short", "one byte other", "gone"])
def test_damaged_vectors_in_the_cache_are_encoded_again(built: Built, tmp_path: Path, damage: str) -> None:
    chunks, cache = write_chunks({"a.md": talk(30)}, tmp_path / "chunks"), VectorCache(tmp_path / "cache")
    first = run(chunks, built.encoder, cache, tmp_path / "first")
    (file,) = cache.folder.glob("*/*.vectors")
    data = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes(data[:-9] if damage == "cut short" else data[:-9] + bytes([data[-9] ^ 64]) + data[-8:])
    again = run(chunks, built.encoder, VectorCache(cache.folder), tmp_path / "again")
    assert again == EmbeddingReport(first.version, first.n_texts, first.n_texts)
    assert Embeddings.load(tmp_path / "again").files[0].is_intact()


def test_another_encoders_vectors_are_not_taken(built: Built, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    run(built.chunks, built.encoder, cache, tmp_path / "one")
    other = Counting(built.encoder)
    other.identity = "another"
    assert run(built.chunks, other, cache, tmp_path / "two").n_encoded == len(other.asked) > 0


def test_a_file_of_which_little_is_needed_is_not_shared(built: Built, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    whole = {"a.md": talk(40), "b.md": talk(10, "段")}
    run(write_chunks(whole, tmp_path / "c1"), built.encoder, cache, tmp_path / "one")
    chunks = write_chunks({"b.md": whole["b.md"]}, tmp_path / "c2")
    report = run(chunks, Counting(built.encoder, last=0), cache, tmp_path / "two")
    (file,) = Embeddings.load(tmp_path / "two").files
    assert len(file) == report.n_texts < len(Embeddings.load(tmp_path / "one").files[0])
    run(chunks, built.encoder, cache, tmp_path / "three")
    assert (tmp_path / "three" / file.path.name).stat().st_ino == file.path.stat().st_ino


def test_damaged_embeddings_are_refused_in_a_sentence(built: Built, tmp_path: Path) -> None:
    run(built.chunks, built.encoder, VectorCache(tmp_path / "cache"), tmp_path / "out")
    (file,) = (tmp_path / "out").glob("*.vectors")
    file.unlink()
    with pytest.raises(ArtifactError, match="hcf refresh"):
        Embeddings.load(tmp_path / "out")
    with pytest.raises(ArtifactError, match="hcf refresh"):
        Embeddings.load(tmp_path / "nothing")


def test_many_small_files_become_one_that_holds_the_same(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path)
    assert cache.open("e") == []
    many = [cache.add("e", hashes(n, n + 1), unit(2)) for n in range(0, 2 * vector_cache.FAN, 2)]
    seen = many[0].vectors
    (one,) = cache.merge("e", many)
    assert one.hashes.tolist() == sorted(hash_ for file in many for hash_ in file.hashes.tolist())
    assert one.vectors.tolist() == [unit(2)[n % 2].tolist() for n in range(2 * vector_cache.FAN)]
    assert [file.path for file in cache.open("e")] == [one.path] and one.is_intact()
    assert seen.tolist() == unit(2).tolist()  # a reader of a merged file is not disturbed
    few = [cache.add("e", hashes(100 + n), unit(1)) for n in range(vector_cache.FAN - 1)]
    assert len(cache.merge("e", [one, *few])) == vector_cache.FAN


def test_a_merged_file_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_cache, "MAX_ROWS", 5)
    cache = VectorCache(tmp_path)
    cache.open("e")
    merged = cache.merge("e", [cache.add("e", hashes(n, n + 1), unit(2)) for n in range(0, 16, 2)])
    assert [len(file) for file in merged] == [4, 4, 4, 4]


def test_pruning_takes_what_was_used_longest_ago_and_never_what_is_published(tmp_path: Path) -> None:
    cache, published = VectorCache(tmp_path / "cache"), tmp_path / "published.vectors"
    for age, identity in enumerate(["now", "before", "long ago"]):
        cache.open(identity)
        for n in range(2):
            file = cache.add(identity, hashes(n), unit(1)).path
            os.utime(file, (10_000 - 10 * age + n,) * 2)
        if identity == "now":
            published.hardlink_to(file)
        os.utime(cache.folder / identity, (10_000 - 10 * age,) * 2)
    size = published.stat().st_size
    draft = cache.folder / "before" / ".draft-1.vectors"
    draft.write_bytes(b"12345")

    def left() -> dict[str, int]:
        return {folder.name: len(list(folder.iterdir())) for folder in cache.folder.glob("[!.]*")}

    assert cache.prune(4 * size, ["now"], dry_run=True) == size + 5
    assert left() == {"now": 2, "before": 3, "long ago": 2}
    assert cache.prune(4 * size, ["now"]) == size + 5
    assert left() == {"now": 2, "before": 2, "long ago": 1}
    assert cache.prune(size, ["now"]) == 3 * size
    assert left() == {"now": 2}
    reader = VectorFile.open(next((cache.folder / "now").glob("*.vectors")))
    assert cache.prune(0, ["now"]) == size
    assert [file.path.stat().st_ino for file in cache.open("now")] == [published.stat().st_ino]
    assert reader.vectors.tolist() == unit(1).tolist()
