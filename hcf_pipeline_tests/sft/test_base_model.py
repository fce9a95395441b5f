from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hcf_pipeline.chat.prompt import CHAT_TEMPLATE, Exchange, build_messages
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline.settings import BaseSettings
from hcf_pipeline.sft.base_model import fit_base, load_base, load_tokenizer
from hcf_pipeline.sft.pretrain import bigrams, new_model, start_from
from hcf_pipeline_tests.sft.conftest import BASE, SYSTEM, MakePairs

# chat_template of Qwen1.5's tokenizer_config.json
QWEN_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_our_template_renders_what_qwen_writes(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    messages = build_messages(SYSTEM, [Exchange("在吗？", "在。"), Exchange("多少钱？", "十五块。")], "那明天呢？")
    for asked in (True, False):
        ours, qwens = (
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asked, chat_template=template)
            for template in (CHAT_TEMPLATE, QWEN_TEMPLATE)
        )
        assert ours == qwens
    assert tokenizer.chat_template == CHAT_TEMPLATE


def test_the_tokenizer_gives_back_every_text_and_knows_the_control_tokens(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    for text in ["野哥，链条响了！", "hello  world 3.5块\n\n嗯…", "𠮷🚲", " 　"]:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer("<|im_start|>")["input_ids"] == [tokenizer.convert_tokens_to_ids("<|im_start|>")]


def test_the_base_is_a_small_qwen2_in_safetensors_that_foretells_better_than_chance(base: Path) -> None:
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "qwen2"
    assert {path.suffix for path in base.iterdir()} <= {".json", ".safetensors", ".jinja"}
    tokenizer, model = load_tokenizer(base), load_base(base, "cpu")
    ids = torch.tensor([tokenizer("江照野：链条响，先看后轮。上油，十五块钱。")["input_ids"]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    assert loss < torch.log(torch.tensor(len(tokenizer)))
    assert model.dtype == torch.float32
    assert not model.training


def test_the_same_corpus_and_seed_give_the_same_bytes(base: Path, pairs: Path, tmp_path: Path) -> None:
    fit_base(pairs, BASE, {"2024-03-10.md"}, SYSTEM, tmp_path)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / name).read_bytes() == (base / name).read_bytes()


def test_held_out_broadcasts_teach_the_base_nothing(make_pairs: MakePairs, tmp_path: Path) -> None:
    shown = "\n\n".join(f"水友：第{n}次问，车呢？\n\n江照野：车在院子里，第{n}天了。" for n in range(20))
    secret = "水友：密码？\n\n江照野：饕餮饕餮饕餮饕餮饕餮饕餮。"
    pairs = make_pairs({"2024-01-01.md": shown, "2024-01-02.md": secret})
    fit_base(pairs, BASE, {"2024-01-02.md"}, SYSTEM, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer("饕餮")["input_ids"]) == 6  # bytes: the characters were never seen


def test_thirty_pairs_are_enough_and_any_hidden_size_has_heads_that_divide_it(
    make_pairs: MakePairs, tmp_path: Path
) -> None:
    text = "\n\n".join(f"水友：第{n}个问题？\n\n江照野：第{n}个回答。" for n in range(30))
    settings = BaseSettings(hidden_size=112, layers=1, steps=1)
    report = fit_base(make_pairs({"2024-01-01.md": text}), settings, set(), SYSTEM, tmp_path)
    assert report.n_tokens < settings.vocab_size
    config = load_base(tmp_path, "cpu").config
    assert config.hidden_size % config.num_attention_heads == 0


def test_before_any_training_the_model_foretells_what_mostly_follows() -> None:
    # 2 is followed by 5 and 6 by turns, 3 always by 7
    ids = np.array([2, 5, 3, 7, 2, 6, 3, 7] * 200, dtype=np.int32)
    settings = BaseSettings(hidden_size=16, layers=1)
    model = new_model(10, settings, eos=1, pad=0).eval()
    start_from(model, bigrams(ids, 10, 15))
    with torch.no_grad():
        p = model(input_ids=torch.tensor([[2], [3]])).logits[:, -1].softmax(-1)
    assert set(p[0].topk(2).indices.tolist()) == {5, 6}
    assert p[0, 5].item() == pytest.approx(p[0, 6].item(), abs=0.05)
    assert p[1].argmax() == 7


def test_a_folder_without_a_model_is_named_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="hcf refresh"):
        load_tokenizer(tmp_path)
    with pytest.raises(ArtifactError, match="safetensors"):
        load_base(tmp_path, "cpu")


def test_four_bit_loads_on_a_cpu(base: Path) -> None:
    model = load_base(base, "cpu", "4bit")
    assert model.is_loaded_in_4bit
    kinds = {type(module).__name__ for module in model.modules()}
    assert "Linear4bit" in kinds
