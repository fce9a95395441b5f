"""One small corpus, taken through every step of the room once a session."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.parts import Made, Table, Wanted, write_table
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_transcripts, write_pair_table, write_turn_table
from hcf_pipeline.corpus.transcript import Turn
from hcf_pipeline.files import hash_of
from hcf_pipeline.rag.chunking.chunks import CHUNK_SCHEMA, chunk_transcript
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import Encoder, load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.settings import ChunkSettings, CorpusSettings, EncoderSettings

TOPICS = {
    "2024-01-03": (
        "半程马拉松怎么准备？",
        "我每天早上绕着河堤跑六公里。跑完量体重，记在本子上。四月去参加半程马拉松。",
    ),
    "2024-01-22": ("水管怎么爆了？", "寒潮来了，店里的水管冻裂了。师傅收了我三百八十块钱，焊了两个钟头。"),
    "2024-02-19": ("小猫哪里来的？", "发动机舱里有只橘猫在叫。我把它抱出来，起名叫螺丝，以后就住在店里。"),
    "2024-03-11": ("徒弟工资多少？", "小顾今天头一天上班，十九岁。一个月两千六，中午管一顿饭。"),
    "2024-04-02": ("面馆涨价了没有？", "阿贵面馆的面从十四块涨到十六块。加个蛋还是两块钱。"),
    "2024-05-05": ("变速箱换了多少钱？", "老蓝从岛上回来就挂不上挡。二手变速箱花了两千三百块钱。"),
}
CHUNKING = ChunkSettings(max_chars=64)
SMALL = EncoderSettings(dim=32, vocab_size=600, steps=30)


@dataclass(frozen=True)
class Built:
    folder: Path
    turns: Path
    pairs: Path
    chunks: Path
    encoder_folder: Path
    encoder: Encoder
    cache: VectorCache
    embeddings: Path
    index: Path


Transcripts = Mapping[str, tuple[datetime.date | None, list[Turn]]]


def write_chunks(transcripts: Transcripts, out: Path, previous: Path | None = None) -> Path:
    """The chunk table of some transcripts, in the new folder `out`."""

    def make(one: Wanted) -> Made:
        return Made(tuple(zip(*chunk_transcript(one.path, transcripts[one.path][1], CHUNKING), strict=True)), {})

    wanted = [Wanted(path, date, hash_of([path, turns])) for path, (date, turns) in transcripts.items()]
    return write_table(CHUNK_SCHEMA, wanted, make, out, previous).folder


def texts_of(chunks: Path) -> list[str]:
    """The chunks' texts, in the table's order."""
    return [text for _, (texts,) in Table(chunks).read(["text"]) for text in texts.to_pylist()]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("rag")
    corpus, index, embeddings = folder / "corpus", folder / "index", folder / "embeddings"
    for new in (corpus, index, embeddings):
        new.mkdir()
    for date, (question, answer) in TOPICS.items():
        small_talk = "水友：晚上好。\n\n江照野：晚上好，感谢老铁送的小灯牌，谢谢谢谢。欢迎新来的水友们，随便坐。\n\n"
        (corpus / f"{date}.md").write_text(
            f"{small_talk}水友：{question}\n\n江照野：{question}{answer}\n", encoding="utf-8"
        )
    (corpus / "闲聊.md").write_text("水友：你喝茶吗？\n\n江照野：喝，茉莉花茶，一斤四十块钱。\n", encoding="utf-8")
    settings = CorpusSettings()
    write_turn_table(scan(corpus, settings), Grammar(settings), folder)
    write_pair_table(folder / TURNS, folder)
    transcripts = {path: (date, turns) for path, date, turns in read_transcripts(folder / TURNS)}
    chunks = write_chunks(transcripts, folder / "chunks")
    fit_encoder(folder / PAIRS, SMALL, (), folder / "encoder")
    encoder, cache = load_encoder(folder / "encoder", "cpu", SMALL), VectorCache(folder / "vectors")
    write_embeddings(chunks, encoder, cache, embeddings)
    write_index(chunks, embeddings, index)
    return Built(folder, folder / TURNS, folder / PAIRS, chunks, folder / "encoder", encoder, cache, embeddings, index)
