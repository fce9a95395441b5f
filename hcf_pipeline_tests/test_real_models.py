"""The profile of real models: the same pipeline on snapshots that a Hub serves (a small one, on loopback)."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from hcf_pipeline.hub.models import is_wanted
from hcf_pipeline_tests.conftest import SAMPLE, SMALL, Finished, Project, new_project
from hcf_pipeline_tests.hub.server import FakeHub

HUB_PROFILE = """
[profiles.hub.base]
model = "someone/tiny-qwen2"

[profiles.hub.encoder]
model = "someone/tiny-bert"
query_prompt = "为这个句子生成表示以用于检索相关文章："
"""


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bert(tmp_path: Path) -> dict[str, bytes]:
    """A BERT-like encoder with random weights, as bge-small-zh is built."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    source = tmp_path / "source"
    source.mkdir()
    characters = {c for path in SAMPLE.rglob("*.md") for c in path.read_text(encoding="utf-8") if not c.isspace()}
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(characters)]
    (source / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(vocab=str(source / "vocab.txt")).save_pretrained(source)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(source)
    model = SentenceTransformer(modules=[Transformer(str(source), max_seq_length=128), Pooling(32)], device="cpu")
    model.save(str(tmp_path / "bert"), create_model_card=False)
    return files_of(tmp_path / "bert")


def mended_soon(hub: FakeHub) -> None:
    """A second after it was first asked it answers as it should."""
    while not hub.asked:
        time.sleep(0.05)
    time.sleep(1)
    hub.status = None


def test_models_of_a_hub_are_fetched_pinned_trained_and_served_offline_afterwards(
    finished: Finished, bert: dict[str, bytes], tmp_path: Path
) -> None:
    home = finished.project.home / "base_model"
    qwen = files_of(home / (home / "current").read_text(encoding="utf-8") / "model")
    project: Project = new_project(tmp_path / "project")
    (project.root / "hcf.toml").write_text(SMALL + HUB_PROFILE, encoding="utf-8")
    with FakeHub() as hub:
        served = hub.add("someone/tiny-qwen2", qwen)
        hub.add("someone/tiny-bert", bert)
        online = hub.environment(tmp_path / "user")
        hub.status = 503  # at first it is overloaded: the step is tried again by itself
        threading.Thread(target=mended_soon, args=(hub,), daemon=True).start()
        ran = project.json("refresh", "--profile", "hub", **online, HF_HUB_OFFLINE="0")["ran"]
        assert hub.status is None
        assert {"base_model", "encoder_model", "lora_adapter", "release"} <= set(ran)
        assert project.json("refresh", "--profile", "hub", **online, HF_HUB_OFFLINE="0")["ran"] == []
    assets = {asset["name"]: asset for asset in project.json("status", "--profile", "hub")["assets"]}
    pinned = json.loads(
        (project.home / "base_model" / assets["base_model"]["version"] / "model.json").read_text("utf-8")
    )
    assert (pinned["revision"], set(pinned["files"])) == (served.commit, {n for n in served.files if is_wanted(n)})
    adapter = next((project.home / "lora_adapter").glob("*/adapter_config.json"))
    assert json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"] == "someone/tiny-qwen2"
    offline = online | {"HF_HUB_OFFLINE": "1"}
    shown = project.hcf("ask", "小顾头一个月的工资是多少？", "--profile", "hub", **offline).stdout
    assert "（玩具模型）" not in shown and "江照野的原话" in shown and "\n[1] 2024" in shown


def test_a_hub_out_of_reach_is_one_sentence_and_exit_3(project: Project) -> None:
    environ = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HCF_BASE__MODEL": "someone/tiny-qwen2"}
    done = project.hcf("--lang", "en", "refresh", **environ)
    assert done.returncode == 3 and "HF_ENDPOINT" in done.stderr and "Traceback" not in done.stderr
