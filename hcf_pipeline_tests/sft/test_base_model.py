from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hcf_pipeline.corpus.pairs import Pair
from hcf_pipeline.errors import ArtifactError, DataError
from hcf_pipeline.lm.chatml import CHAT_TEMPLATE
from hcf_pipeline.lm.prompt import Exchange, build_messages
from hcf_pipeline.lm.tokenizer import load_tokenizer
from hcf_pipeline.settings import BaseSettings, SftSettings
from hcf_pipeline.sft.base_model import fit_base, load_base
from hcf_pipeline.sft.pretrain import bigrams, model_config, new_model, start_from
from hcf_pipeline.sft.tokenizer import fit_tokenizer
from hcf_pipeline.sft.windows import windows
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


def test_a_run_of_letters_or_spaces_without_an_end_is_learnt_in_pieces() -> None:
    """The work is counted by what BPE gets: fitting takes the square of a word's length."""
    split = fit_tokenizer(["水友：好"], 300).backend_tokenizer.pre_tokenizer
    for run in ("abcdefghij" * 500, " " * 5000, " " * 5000 + "a", "\n" * 5000 + "好", "修" * 5000, "！" * 5000):
        pieces = [piece for piece, _ in split.pre_tokenize_str(run)]
        assert max(map(len, pieces)) <= 32 and len(pieces) > 100
    assert [piece for piece, _ in split.pre_tokenize_str("hello  world")] == ["hello", "ĠĠworld"]


def test_the_base_learns_the_tokens_that_training_and_serving_make(make_pairs: MakePairs, tmp_path: Path) -> None:
    """transformers puts Qwen's own division into words in the place of the one that the vocabulary was counted with."""
    answers = [f"江照野：链条响了先看看后轮的轴承坏了没有第{n}天" for n in range(30)]
    text = "\n\n".join(
        f"水友：我想问问野哥电池充不进去电了怎么办第{n}次\n\n{answer}" for n, answer in enumerate(answers)
    )
    report = fit_base(make_pairs({"2024-01-01.md": text}), BASE, set(), SYSTEM, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    n_tokens = 0
    for window in windows(read_pairs_of(text), SftSettings(), Counter()):
        laid_out = tokenizer.apply_chat_template(build_messages(SYSTEM, window.exchanges), tokenize=False)
        n_tokens += len(tokenizer(laid_out + "<|endoftext|>")["input_ids"])
    assert report.n_training_tokens == n_tokens


def read_pairs_of(text: str) -> list[Pair]:
    turns = [line.partition("：")[2] for line in text.split("\n\n")]
    return [Pair(n, *turns[2 * n : 2 * n + 2], "江照野", 2 * n + 1, 2 * n + 2, "") for n in range(len(turns) // 2)]


def test_nothing_to_learn_from_is_told_before_any_library_sees_it(make_pairs: MakePairs, tmp_path: Path) -> None:
    host_first = make_pairs({"2024-01-01.md": "江照野：我先说。\n\n水友：那我问。"})
    with pytest.raises(DataError, match="no pair to learn from"):
        fit_base(host_first, BASE, set(), SYSTEM, tmp_path)
    flagged = make_pairs({"2024-01-01.md": "水友：在吗？\n\n江照野：在"})
    with pytest.raises(DataError, match="shorter than"):
        fit_base(flagged, BASE, set(), SYSTEM, tmp_path)


def test_what_the_base_has_seen_is_told(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hcf_pipeline.sft import base_model

    monkeypatch.setattr(base_model, "MAX_CHARS", 700)  # of some 3,000
    report = fit_base(pairs, BASE, {"2024-03-10.md"}, SYSTEM, tmp_path)
    assert 1 <= len(report.transcripts) < 9 and "2024-03-10.md" not in report.transcripts
    assert report.n_chars <= 700


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
    model = new_model(model_config(10, settings, eos=1, pad=0)).eval()
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
