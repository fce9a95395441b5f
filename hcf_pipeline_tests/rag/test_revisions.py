"""What is kept under a name knows by which code it was made: a changed revision takes nothing over from before it."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.defs.recipes import recipes
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.files import hash_of
from hcf_pipeline.rag.chunking import chunks
from hcf_pipeline.rag.chunking.chunks import chunk_transcript
from hcf_pipeline.rag.encode import encoder
from hcf_pipeline.rag.encode.embed import EmbeddingReport, Embeddings, prepared, write_embeddings
from hcf_pipeline.rag.encode.encoder import Encoder, load_encoder
from hcf_pipeline.rag.encode.static_encoder import StaticModel
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.index import sidecar
from hcf_pipeline.rag.index.segments import BROADCASTS, IDS, JOINED, LEXICAL
from hcf_pipeline.rag.index.sidecar import SEGMENTS, Sidecar
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import ChunkSettings, RetrievalSettings
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.rag.conftest import SMALL, Built, write_chunks

SAID = [
    Turn(1, "guest", "水友", "晚上好！ABS 灯亮了，怎么办？", ""),
    Turn(2, "host", "小禾", "价格：四百七十块。\n①先看保险丝，２０２４年３月换过一次，A380 的 13.2.8。", ""),
    Turn(3, "host", "大山", "一句很长的话，" * 20 + "说完了。", ""),
]


def made(built: Built, cache: VectorCache, out: Path) -> EmbeddingReport:
    out.mkdir()
    return write_embeddings(built.chunks, load_encoder(built.encoder_folder, "cpu", SMALL), cache, out)


def test_texts_that_are_prepared_in_another_way_are_encoded_anew_under_another_version(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = VectorCache(tmp_path / "cache")
    before = made(built, cache, tmp_path / "before")
    assert made(built, cache, tmp_path / "again") == EmbeddingReport(before.version, before.n_texts, 0)
    monkeypatch.setattr(encoder, "PREPARATION", encoder.PREPARATION + 1)
    after = made(built, cache, tmp_path / "after")
    assert after.n_encoded == before.n_texts and after.version != before.version


def test_an_index_takes_over_no_segment_whose_vectors_were_prepared_in_another_way(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "PREPARATION", encoder.PREPARATION + 1)
    made(built, VectorCache(tmp_path / "cache"), tmp_path / "vectors")
    (tmp_path / "index").mkdir()
    report = write_index(built.chunks, tmp_path / "vectors", tmp_path / "index", built.index)
    assert report.n_written == report.n_chunks
    assert report.content != Sidecar.load(built.index).content


def test_an_index_of_vectors_from_before_the_change_is_refused_to_an_encoder_from_after_it(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "PREPARATION", encoder.PREPARATION + 1)
    write_index(built.chunks, built.embeddings, tmp_path)
    with pytest.raises(ArtifactError, match=r"made with another encoder.*hcf refresh"):
        Retriever.open(tmp_path, load_encoder(built.encoder_folder, "cpu", SMALL), RetrievalSettings())


def test_an_index_takes_over_no_segment_of_another_format(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = Sidecar.load(built.index).content
    monkeypatch.setattr(sidecar, "FORMAT", sidecar.FORMAT + 1)
    report = write_index(built.chunks, built.embeddings, tmp_path, built.index)
    assert report.n_written == report.n_chunks and report.content != content


@pytest.mark.parametrize(
    ("asset", "module", "name"),
    [
        ("chunk_table", chunks, "REVISION"),
        ("chunk_embeddings", encoder, "PREPARATION"),
        ("faiss_index", sidecar, "FORMAT"),
    ],
)
def test_a_revision_in_the_code_is_that_of_its_asset(tmp_path: Path, asset: str, module: object, name: str) -> None:
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    made_by = recipes(load_settings(tmp_path / "hcf.toml", environ={}))
    assert made_by[asset].revision == getattr(module, name)


class _Characters(StaticModel):
    """A static embedding whose tokens are characters, with vectors that are the same on every machine."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.pre_tokenizers import Split

        letters = sorted({c for turn in SAID for c in turn.text})
        tokenizer = Tokenizer(WordLevel({c: n for n, c in enumerate(letters)}, unk_token=letters[0]))
        tokenizer.pre_tokenizer = Split("", "isolated")
        bits = [hashlib.sha256(c.encode("utf-8")).digest()[:8] for c in letters]
        super().__init__(tokenizer, np.array([[bit - 128 for bit in row] for row in bits], dtype=np.float32))


def fingerprints(folder: Path) -> dict[str, str]:
    """What today's code makes of SAID: chunk rows, vectors, and the arrays of the index."""
    rows = chunk_transcript("a.md", SAID, ChunkSettings(max_chars=64))
    model = Encoder(_Characters(), "characters", "价")
    vectors = [*model.encode_documents([prepared(row.text) for row in rows]), model.encode_query("格")]
    talks = {name: (datetime.date(2024, 3, 5), SAID) for name in ("a.md", "b.md")}
    table = write_chunks(talks, folder / "chunks")
    (folder / "vectors").mkdir()
    (folder / "index").mkdir()
    write_embeddings(table, model, VectorCache(folder / "cache"), folder / "vectors")
    assert len(Embeddings.load(folder / "vectors").files) == 1
    write_index(table, folder / "vectors", folder / "index")
    (segment,) = (folder / "index" / SEGMENTS).iterdir()
    files = [
        segment / IDS,
        segment / JOINED,
        *sorted((segment / LEXICAL).iterdir()),
        *sorted((segment / BROADCASTS).iterdir()),
    ]
    arrays = [(file.relative_to(segment).as_posix(), np.load(file)) for file in files]
    return {
        "chunk rows": hash_of([[value for value in row if value is not None] for row in rows]),
        "vectors": hash_of([(vector.round(2) + 0.0).tolist() for vector in vectors]),
        "index": hash_of([(name, str(array.dtype), array.tolist()) for name, array in arrays]),
    }


def test_what_the_code_makes_of_one_input_changes_only_together_with_its_revision(tmp_path: Path) -> None:
    """Where this fails the code makes something else of what it is given: bump the revision, then put both in here."""
    found = fingerprints(tmp_path)
    assert (chunks.REVISION, found["chunk rows"]) == (4, "510cade8335abcf95645")
    assert (encoder.PREPARATION, found["vectors"]) == (3, "d863078dfc861e4e1ef7")
    assert (sidecar.FORMAT, found["index"]) == (6, "1e541574e5f9d9fe5081")
