from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from hcf_pipeline.corpus.tables import read_pairs
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.rag.encode.embed import write_embeddings
from hcf_pipeline.rag.encode.encoder import EmptyText, encoder_identity, load_encoder
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.rag.encode.vector_cache import VectorCache
from hcf_pipeline.rag.index.self_test import self_test
from hcf_pipeline.rag.index.writer import write_index
from hcf_pipeline.rag.search.retriever import Retriever
from hcf_pipeline.settings import EncoderSettings, RetrievalSettings
from hcf_pipeline.settings.file import PROFILES
from hcf_pipeline_tests.rag.conftest import SMALL, TOPICS, Built, texts_of


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


@pytest.mark.parametrize("vocab_size", [600, 300])
def test_without_a_pair_the_words_alone_rank_and_the_index_can_be_trusted(
    built: Built, tmp_path: Path, vocab_size: int
) -> None:
    settings = SMALL.model_copy(update={"vocab_size": vocab_size})
    everything = [path for path, _, _ in read_pairs(built.pairs)]
    report = fit_encoder(built.pairs, settings, everything, tmp_path / "encoder")
    assert report.n_pairs == 0
    encoder = load_encoder(tmp_path / "encoder", "cpu", settings)
    assert not encoder.encode_documents(["水管怎么爆了？", "a"]).any() and encoder.dim == settings.dim
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "index").mkdir()
    write_embeddings(built.chunks, encoder, VectorCache(tmp_path / "vectors"), tmp_path / "embeddings")
    write_index(built.chunks, tmp_path / "embeddings", tmp_path / "index")
    assert self_test(tmp_path / "index").n_wrong == 0
    retriever = Retriever.open(tmp_path / "index", encoder, RetrievalSettings())
    hits = retriever.search("变速箱换了多少钱？", 3)
    assert hits[0].transcript == "2024-05-05.md"
    by_words = Retriever.open(tmp_path / "index", encoder, RetrievalSettings(dense_weight=0))
    assert [hit.chunk_id for hit in hits if hit.score] == [
        hit.chunk_id for hit in by_words.search("变速箱换了多少钱？", 3)
    ]


def test_a_word_without_an_end_takes_no_longer_to_learn_than_words_do(built: Built, tmp_path: Path) -> None:
    """The work is counted by what BPE gets: fitting takes the square of a word's length."""
    fit_encoder(built.pairs, SMALL, (), tmp_path / "encoder")
    split = Tokenizer.from_file(str(tmp_path / "encoder" / "tokenizer.json")).pre_tokenizer
    for run in ("abcdefghij" * 500, "12345" * 1000, "ありがとう" * 1000, "修车" * 2000, "안녕하세요" * 1000):
        pieces = [piece for piece, _ in split.pre_tokenize_str(run)]
        assert "".join(pieces) == run and max(map(len, pieces)) <= 24
    assert [piece for piece, _ in split.pre_tokenize_str("修iPhone15 pro，半程")] == ["修", "iPhone15", "pro", "半程"]


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


def test_the_embedded_encoder_gives_the_vectors_that_sentence_transformers_gives(built: Built) -> None:
    from sentence_transformers import SentenceTransformer

    texts = [*texts_of(built.chunks), "！！！", "ⵣ", "a", "变速箱" * 500]
    theirs = SentenceTransformer(str(built.encoder_folder), device="cpu").encode(texts, normalize_embeddings=True)
    assert np.abs(built.encoder.encode_documents(texts) - theirs).max() < 1e-6
    prompted = load_encoder(built.encoder_folder, "cpu", SMALL.model_copy(update={"query_prompt": "问："}))
    assert np.abs(prompted.encode_query("水管") - built.encoder.encode_query("问：水管")).max() < 1e-6


def test_the_embedded_encoder_needs_no_torch(built: Built) -> None:
    code = (
        "import sys; from pathlib import Path; from hcf_pipeline.rag.encode.encoder import load_encoder;"
        "from hcf_pipeline.settings import EncoderSettings;"
        f"load_encoder(Path({str(built.encoder_folder)!r}), 'auto', EncoderSettings()).encode_query('水管');"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("extra", ["another module", "half precision"])
def test_a_static_embedding_with_anything_more_takes_the_long_way(built: Built, tmp_path: Path, extra: str) -> None:
    from safetensors.numpy import load_file, save_file
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "encoder"
    shutil.copytree(built.encoder_folder, folder)
    if extra == "half precision":
        arrays = load_file(folder / "model.safetensors")
        save_file({name: array.astype(np.float16) for name, array in arrays.items()}, folder / "model.safetensors")
    else:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        modules.append({**modules[1], "idx": 2, "name": "2"})
        (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    theirs = SentenceTransformer(str(folder), device="cpu").encode(["水管"], normalize_embeddings=True)
    assert np.abs(load_encoder(folder, "cpu", SMALL).encode_documents(["水管"]) - theirs).max() < 1e-6


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_static_embedding_is_refused_in_a_sentence(built: Built, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(built.encoder_folder, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_encoder(folder, "cpu", SMALL)


@pytest.fixture(scope="module")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3 with random weights, laid out as Qwen3-Embedding is: the last token's vector, prompts in the configuration."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("qwen") / "model"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(["<|endoftext|>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", pair="$A <|endoftext|> $B <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|endoftext|>", padding_side="left"
    ).save_pretrained(source)
    config = Qwen3Config(
        vocab_size=len(alphabet) + 1, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    Qwen3Model(config).save_pretrained(source)
    modules = [Transformer(str(source)), Pooling(16, pooling_mode="lasttoken"), Normalize()]
    prompts = {"query": QWEN_PROMPT, "document": ""}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder), create_model_card=False)
    return folder


QWEN_PROMPT = tomllib.loads((PROFILES / "qwen3.toml").read_text(encoding="utf-8"))["encoder"]["query_prompt"]


def test_a_model_like_qwen3_embedding_gives_the_vectors_of_its_own_configuration(qwen_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    assert QWEN_PROMPT.startswith("Instruct: ") and QWEN_PROMPT.endswith("\nQuery:")
    theirs = SentenceTransformer(str(qwen_folder), device="cpu")
    ours = load_encoder(qwen_folder, "cpu", EncoderSettings(query_prompt=QWEN_PROMPT))
    texts = ["修车", "面馆的面从十四块涨到十六块，加个蛋还是两块钱"]
    documents = ours.encode_documents(texts)
    assert documents == pytest.approx(theirs.encode(texts, prompt_name="document"), abs=1e-5)
    assert documents[0] == pytest.approx(ours.encode_documents(texts[:1])[0], abs=1e-5)  # padding counts for nothing
    query = ours.encode_query("修车")
    assert query == pytest.approx(theirs.encode("修车", prompt_name="query"), abs=1e-5)
    assert float(query @ documents[0]) < 0.999
    hidden = theirs.encode("修车", prompt="", output_value="token_embeddings")
    last = np.asarray(hidden[-1], dtype=np.float32)
    assert documents[0] == pytest.approx(last / np.linalg.norm(last), abs=1e-5)
