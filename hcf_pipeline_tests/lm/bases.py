"""Small tokenizers with the control tokens and chat templates of well-known families of chat models."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from hcf_pipeline.lm.chatml import CHAT_TEMPLATE, END_OF_TEXT, IM_END, SPECIAL_TOKENS
from hcf_pipeline.sft.tokenizer import fit_tokenizer

WORDS = [
    "链条响了先上油，十五块钱。",
    "user assistant system model hello world\n\n",
    "[INST] USER: <|im_end|> > [1] 水友的问题：",
] * 5

SPLIT = (  # Llama 3's and Qwen's division into words
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (  # which puts the system prompt before the last question
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}{{ bos_token }}"
    "{% for message in turns %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + (system + '\n\n' if loop.last and system else '') + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_2 = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ bos_token + '[INST] <<SYS>>\n' + message['content'] + '\n<</SYS>>\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ ('' if loop.index0 == 1 else bos_token + '[INST] ') + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
VICUNA = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + ' ' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def byte_level(
    template: str, specials: Iterable[str], added: Iterable[str] = (), **names: str
) -> PreTrainedTokenizerBase:
    """BPE on bytes, as Llama 3 and Qwen have it."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, show_progress=False, special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    return _wrapped(tokenizer, template, names)


def sentencepiece(template: str, specials: Iterable[str], **names: str) -> PreTrainedTokenizerBase:
    """BPE on characters with bytes for those that are unknown, and a space before the first word, as Llama 2 has it."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += sorted({"▁", *"".join(WORDS).replace(" ", "").replace("\n", "")})
    model = models.BPE(
        vocab={piece: n for n, piece in enumerate(pieces)}, merges=[], unk_token="<unk>", byte_fallback=True
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    replace, fallback, fuse = decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()
    tokenizer.decoder = decoders.Sequence([replace, fallback, fuse, decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", *specials])
    return _wrapped(tokenizer, template, {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"} | names)


def _wrapped(tokenizer: Tokenizer, template: str, names: dict[str, str]) -> PreTrainedTokenizerBase:
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **names)
    wrapped.chat_template = template
    return wrapped


def _llama_3() -> PreTrainedTokenizerBase:
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    return byte_level(
        LLAMA_3, [*specials, "<|eom_id|>", "<|python_tag|>"], bos_token=specials[0], eos_token="<|eot_id|>", pad_token=specials[1]
    )  # fmt: skip


def _qwen() -> PreTrainedTokenizerBase:
    added = ["<tool_call>", "</tool_call>", "<think>", "</think>", "<|fim_prefix|>"]
    return byte_level(CHAT_TEMPLATE, [*SPECIAL_TOKENS, "<|box_start|>"], added, eos_token=IM_END, pad_token=END_OF_TEXT)


def _gemma() -> PreTrainedTokenizerBase:
    return byte_level(
        GEMMA, ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"], ["\n\n", "  ", "<table>"],
        bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
    )  # fmt: skip


BASES: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "embedded": lambda: fit_tokenizer(WORDS, 400),
    "qwen": _qwen,
    "llama 3": _llama_3,
    "gemma": _gemma,
    "mistral 3": lambda: sentencepiece(MISTRAL, ["[INST]", "[/INST]"]),
    "mistral 1": lambda: sentencepiece(MISTRAL, []),
    "llama 2": lambda: sentencepiece(LLAMA_2, []),
    "zephyr": lambda: sentencepiece(ZEPHYR, []),
    "vicuna": lambda: sentencepiece(VICUNA, []),
}
OPENED_BY_TOKENS = {"embedded", "qwen", "llama 3", "gemma", "mistral 3"}
