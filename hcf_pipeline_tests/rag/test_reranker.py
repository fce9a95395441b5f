"""A real CrossEncoder of the usual architecture, small and with random weights, from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.search.reranker import load_reranker
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import RetrievalSettings
from hcf_pipeline_tests.rag.conftest import TOPICS, Built


def cross_encoder(folder: Path, n_outputs: int) -> Path:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir()
    characters = sorted({c for question, answer in TOPICS.values() for c in question + answer})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=n_outputs,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_hits_come_in_the_order_of_the_cross_encoder(built: Built, tmp_path: Path) -> None:
    reranker = load_reranker(cross_encoder(tmp_path / "model", 1), "cpu", 8)
    settings = RetrievalSettings(rerank_top=8)
    hits = Retriever.open(built.index, built.encoder, settings, reranker).search("变速箱多少钱", 8)
    opinions = reranker.scores("变速箱多少钱", [hit.text for hit in hits]).tolist()
    assert opinions == sorted(opinions, reverse=True) and len(set(opinions)) > 1
    plain = Retriever.open(built.index, built.encoder, settings).search("变速箱多少钱", 8)
    assert {(hit.chunk_id, hit.score) for hit in hits} == {(hit.chunk_id, hit.score) for hit in plain}


@pytest.mark.parametrize("what", ["two outputs", "no weights", "nothing"])
def test_what_is_no_reranker_is_refused_in_one_sentence(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "model"
    if what != "nothing":
        cross_encoder(folder, 2)
    if what == "no weights":
        (folder / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"holds no reranker .* check \[retrieval\] reranker"):
        load_reranker(folder, "cpu", 8)
