from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.errors import ArtifactError, DataError
from hcf_pipeline.rag.embed import Embeddings, write_embeddings
from hcf_pipeline.rag.encoder import EmptyText, Encoder, Vectors, encoder_identity, load_encoder
from hcf_pipeline.rag.encoder_fit import fit_encoder
from hcf_pipeline.settings import EncoderSettings
from hcf_pipeline_tests.rag.conftest import SMALL, TOPICS, Built


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights and mean pooling, laid out as models on the Hub are."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("bert") / "model"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set("修车多少钱问：电瓶面馆水管"))]
    (source / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(vocab=str(source / "vocab.txt")).save_pretrained(source)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(source)
    SentenceTransformer(modules=[Transformer(str(source)), Pooling(16)], device="cpu").save(
        str(folder), create_model_card=False
    )
    return folder


def test_vectors_have_unit_length_and_the_order_given(built: Built) -> None:
    texts = ["修车", "换一个二手变速箱要多少钱", "面"]
    vectors = built.encoder.encode_documents(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (3, built.encoder.dim)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[2] == pytest.approx(built.encoder.encode_documents(["面"])[0], abs=1e-6)


def test_fitting_twice_gives_the_same_files(built: Built, tmp_path: Path) -> None:
    fit_encoder(built.pairs, SMALL, (), tmp_path / "again")
    assert encoder_identity(tmp_path / "again") == encoder_identity(built.encoder_folder)


def test_another_seed_gives_another_encoder(built: Built, tmp_path: Path) -> None:
    fit_encoder(built.pairs, SMALL.model_copy(update={"seed": 7}), (), tmp_path / "other")
    assert encoder_identity(tmp_path / "other") != encoder_identity(built.encoder_folder)


def test_a_question_lies_nearer_to_its_own_answer_than_to_others(built: Built) -> None:
    questions = built.encoder.encode_documents([question for question, _ in TOPICS.values()])
    answers = built.encoder.encode_documents([answer for _, answer in TOPICS.values()])
    assert ((questions @ answers.T).argmax(axis=1) == np.arange(len(TOPICS))).all()


def test_held_out_broadcasts_are_not_learnt_from(built: Built, tmp_path: Path) -> None:
    kept = "2024-01-03.md"
    held_out = [f"{date}.md" for date in TOPICS if f"{date}.md" != kept] + ["闲聊.md"]
    fit_encoder(built.pairs, SMALL, held_out, tmp_path / "encoder")
    tokens = (tmp_path / "encoder" / "tokenizer.json").read_text(encoding="utf-8")
    assert "河" in tokens and "橘" not in tokens
    with pytest.raises(DataError, match="no pair"):
        fit_encoder(built.pairs, SMALL, [*held_out, kept], tmp_path / "none")


def test_progress_counts_the_steps(built: Built, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fit_encoder(built.pairs, SMALL, (), tmp_path / "encoder", lambda done, total: seen.append((done, total)))
    assert seen == [(step, SMALL.steps) for step in range(1, SMALL.steps + 1)]


@pytest.mark.parametrize("blank", ["", " ", "\n\u3000"])
def test_a_blank_text_has_no_vector(built: Built, blank: str) -> None:
    with pytest.raises(EmptyText):
        built.encoder.encode_query(blank)
    with pytest.raises(EmptyText, match="Text 2"):
        built.encoder.encode_documents(["修车", blank])


def test_a_text_of_unknown_characters_has_a_finite_vector(built: Built) -> None:
    assert np.isfinite(built.encoder.encode_documents(["ⵣⵣⵣ", "！！！"])).all()


def test_a_bert_like_model_takes_the_same_way(bert_folder: Path) -> None:
    encoder = load_encoder(bert_folder, "cpu", EncoderSettings())
    vectors = encoder.encode_documents(["修车多少钱", "面馆"])
    assert encoder.dim == 16 and vectors.shape == (2, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_the_query_prompt_stands_before_questions_only(bert_folder: Path) -> None:
    plain = load_encoder(bert_folder, "cpu", EncoderSettings())
    prompted = load_encoder(bert_folder, "cpu", EncoderSettings(query_prompt="问："))
    assert prompted.encode_query("修车") == pytest.approx(plain.encode_query("问：修车"), abs=1e-6)
    assert prompted.encode_documents(["修车"]) == pytest.approx(plain.encode_documents(["修车"]), abs=1e-6)


def test_a_folder_without_safetensors_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ArtifactError, match="safetensors"):
        load_encoder(tmp_path, "cpu", EncoderSettings())


def test_a_damaged_model_is_refused_in_a_sentence(built: Built, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not one")
    (tmp_path / "modules.json").write_text("[", encoding="utf-8")
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_encoder(tmp_path, "cpu", EncoderSettings())


class Counting(Encoder):
    """An encoder that remembers what it was asked for."""

    def __init__(self, encoder: Encoder) -> None:
        self.__dict__.update(encoder.__dict__)
        self.asked: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().encode_documents(texts)


def test_each_text_is_encoded_once_and_only_when_it_is_new(built: Built, tmp_path: Path) -> None:
    first, known_but_one, second = tmp_path / "first", tmp_path / "known but one", tmp_path / "second"
    for folder in (first, known_but_one, second):
        folder.mkdir()
    counting = Counting(built.encoder)
    report = write_embeddings(built.chunks, counting, None, first)
    assert report.n_encoded == report.n_texts == len(counting.asked) == len(set(counting.asked))
    assert [len(text) for text in counting.asked] == sorted((len(t) for t in counting.asked), reverse=True)
    known = Embeddings.load(first)
    np.save(known_but_one / "hashes.npy", known.hashes[1:])
    np.save(known_but_one / "vectors.npy", known.vectors[1:])
    again = Counting(built.encoder)
    assert write_embeddings(built.chunks, again, known_but_one, second) == type(report)(
        report.version, report.n_texts, 1
    )
    assert len(again.asked) == 1
    assert np.allclose(Embeddings.load(second).vectors, known.vectors, atol=1e-6)


def test_damaged_vectors_are_refused_but_are_no_obstacle_to_new_ones(built: Built, tmp_path: Path) -> None:
    (tmp_path / "hashes.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ArtifactError, match="hcf refresh"):
        Embeddings.load(tmp_path)
    report = write_embeddings(built.chunks, built.encoder, tmp_path, tmp_path)
    assert report.n_encoded == report.n_texts == len(Embeddings.load(tmp_path).hashes)
