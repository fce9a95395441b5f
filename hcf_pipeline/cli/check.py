"""`hcf check`: would a refresh go through on this machine? Disk, memory, GPU, token, corpus and its pairs."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Literal

from hcf_pipeline.cli.console import Invocation, human_size, only_json, out, print_json
from hcf_pipeline.cli.left_out import files_left_out, lines_left_out
from hcf_pipeline.cli.turns import beginning
from hcf_pipeline.corpus.survey import N_SHOWN, FirstTurns
from hcf_pipeline.corpus.transcript import BEFORE, IN_DOUBT, NO_SPEAKER, OTHER
from hcf_pipeline.errors import HcfError, UserError
from hcf_pipeline.few import few
from hcf_pipeline.files import files_below
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.text import one_line

Verdict = Literal["ok", "warning", "bad"]
MARKS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "bad": ("✘", "red")}
GB = 1_000_000_000
N_NAMED = 8  # unknown labels
MUCH_SPOKEN, LITTLE_SPOKEN = 0.7, 0.3  # of the lines that have a speaker
LEFT_OUT_SHARE = 0.1  # of the pairs: with more than that a reader should look why

# Measured with the default corpus sizes; one build takes 7 bytes a corpus byte; room for a second one.
HOME_BYTES_PER_CORPUS_BYTE = 15
EMBEDDED_DISK = 1 * GB
WORKING_MEMORY = 3 * GB  # main memory for everything but a real base model

# Qwen1.5-4B: parameters, and what training keeps beside the weights.
PARAMETERS = {"0.5b": 0.62e9, "1.8b": 1.84e9, "4b": 3.95e9, "7b": 7.72e9, "14b": 14.2e9}
BYTES_PER_PARAMETER = {"4bit": 0.85, "half": 2.0, "whole": 4.0}  # 4-bit leaves embeddings and output layer at 16 bits
# Of a 4B Qwen: its logits and their gradient in 32 bits (152,000 × 8 bytes), and what 40 layers keep of each token.
BYTES_PER_TOKEN = {"checkpointed": 1.5e6, "kept": 8e6}


@dataclass(frozen=True)
class Finding:
    name: str
    verdict: Verdict
    text: str


def run_check(call: Invocation, *, deep: bool, as_json: bool) -> None:
    from hcf_pipeline.cli.deep import deep_findings

    settings = call.settings(file_optional=True)
    looks = [_corpus, _disk, _memory, _gpu, _token, *([deep_findings] if deep else [])]
    with only_json():
        findings = [finding for look in looks for finding in look(settings, call)]
    if as_json:
        print_json({"findings": [asdict(f) for f in findings], "ok": all(f.verdict != "bad" for f in findings)})
    else:
        for finding in findings:
            out.print(MARKS[finding.verdict], " ", one_line(finding.text))
    bad = [finding for finding in findings if finding.verdict == "bad"]
    if bad:
        raise UserError(
            zh=f"有 {len(bad)} 项不行；请先处理上面打 ✘ 的。",
            en=f"{len(bad)} of these would stop a refresh; mend what is marked ✘.",
        )


def _corpus(settings: Settings, call: Invocation) -> Iterator[Finding]:
    from hcf_pipeline.corpus.grammar import Grammar
    from hcf_pipeline.corpus.manifest import Refused, scan
    from hcf_pipeline.corpus.pairs import monologue_pairs, pair_turns
    from hcf_pipeline.corpus.tables import read_transcript
    from hcf_pipeline.settings.file import no_config
    from hcf_pipeline.sft.left_out import count_reasons

    corpus = settings.sections.corpus
    if not settings.config.exists():  # the machine can be looked at before
        yield Finding("corpus", "bad", no_config(settings.config).text(call.lang))
        return
    try:
        manifest = scan(settings.corpus_path, corpus)
    except HcfError as error:
        yield Finding("corpus", "bad", error.text(call.lang))
        return
    grammar = Grammar(corpus)
    pair = monologue_pairs if corpus.is_monologue else pair_turns
    good, n_turns, n_lines, n_changes = 0, 0, 0, 0
    refused = list(manifest.refused)
    left_out: Counter[str] = Counter()
    first = FirstTurns()
    unknown: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for file in manifest.files:
        parsed = read_transcript(settings.corpus_path, file, grammar)
        if isinstance(parsed, Refused):
            refused.append(parsed)
        else:
            good += 1
            n_turns += len(parsed.turns)
            n_lines += sum(turn.text.count("\n") + 1 for turn in parsed.turns)
            n_changes += sum(before.side != after.side for before, after in pairwise(parsed.turns))
            left_out.update(parsed.left_out)
            first.add(parsed.turns[: 4 * N_SHOWN])
            unknown.update(parsed.unknown_labels)
            pairs.update(count_reasons(pair(parsed.turns), settings.sections.sft))
    n_files = len(manifest.files) + len(manifest.refused)
    n_unknown = unknown.total()
    verdict: Verdict = "bad" if not good else "ok" if good > 0.9 * n_files and n_unknown < 0.05 * n_turns else "warning"
    named = few([f"{label} {count}" for label, count in unknown.most_common()], call.lang, N_NAMED, "、")
    told = f"：{named}" if named else ""
    told_en = f": {named}" if named else ""
    yield Finding(
        "corpus",
        verdict,
        call.say(
            f"文稿：{settings.corpus_path}，{n_files} 个文件里 {good} 个可用，{n_turns} 次发言，{n_unknown} 行是未知称呼{told}",
            f"corpus: {settings.corpus_path}, {good} of {n_files} files usable, {n_turns} turns, "
            f"{n_unknown} lines of unknown labels{told_en}",
        ),
    )
    for line in files_left_out(call, settings, refused):
        yield Finding("left out", "warning" if refused else "ok", line)
    if good:
        yield _spoken(n_lines, n_turns, n_changes, good, left_out, call)
        for turn in first.turns:
            yield Finding("turn", "ok", beginning(turn))
        yield _pairs(pairs, call)


def _spoken(
    n_lines: int, n_turns: int, n_changes: int, n_files: int, left_out: Counter[str], call: Invocation
) -> Finding:
    """What share of the text has a speaker, and how the turns alternate."""
    n_nobodys = sum(left_out[kind] for kind in (BEFORE, OTHER, NO_SPEAKER, IN_DOUBT))
    share = n_lines / (n_lines + n_nobodys)
    changes = n_changes / max(1, n_turns - n_files)
    rest = lines_left_out(call, left_out)
    words = call.say(
        f"发言：{share:.0%} 的行有说话人，相邻两次发言换人的占 {changes:.0%}",
        f"turns: {share:.0%} of the lines have a speaker, {changes:.0%} of neighbouring turns change sides",
    ) + (call.say("；", "; ") + rest if rest else "")
    verdict: Verdict = "ok" if share >= MUCH_SPOKEN else "warning" if share >= LITTLE_SPOKEN else "bad"
    if verdict != "ok":
        words += call.say(
            "；大半可能没有读对：请用 hcf turns 看一个文件，再写明 [corpus] form 和称呼，或运行 hcf init",
            "; much may be read wrongly: look at a file with hcf turns, then set form and labels of [corpus], or run hcf init",
        )
    return Finding("turns", verdict, words)


def _pairs(counts: Counter[str], call: Invocation) -> Finding:
    """How many pairs a model learns from, and why not from the others."""
    from hcf_pipeline.sft.left_out import USED, next_step, none_left, reasons

    n_pairs, n_used = counts.total(), counts[USED]
    if not n_used:
        return Finding("pairs", "bad", none_left(counts).text(call.lang))
    zh = f"问答：{n_pairs} 个，其中 {n_used} 个可以学"
    en = f"pairs: {n_pairs}, {n_used} of them to learn from"
    if n_used < n_pairs:
        zh, en = f"{zh}；{reasons(counts, 'zh')}", f"{en}; {reasons(counts, 'en')}"
    if n_pairs - n_used <= LEFT_OUT_SHARE * n_pairs:
        return Finding("pairs", "ok", call.say(zh, en))
    return Finding(
        "pairs", "warning", call.say(f"{zh}；请{next_step(counts, 'zh')}", f"{en}; {next_step(counts, 'en')}")
    )


def _disk(settings: Settings, call: Invocation) -> Iterator[Finding]:
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    folder = settings.corpus_path
    corpus = sum(file.stat().st_size for file in files_below(folder))
    needed = EMBEDDED_DISK + HOME_BYTES_PER_CORPUS_BYTE * corpus + _download(settings)
    yield Finding(
        "disk",
        "ok" if free > needed else "bad",
        call.say(
            f"磁盘：{place} 剩 {human_size(free)}，估计要 {human_size(needed)}",
            f"disk: {human_size(free)} free in {place}, about {human_size(needed)} needed",
        ),
    )


def _memory(settings: Settings, call: Invocation) -> Iterator[Finding]:
    """Main memory. On CUDA a real base lies in the GPU's, which is another finding's."""
    import psutil

    free = psutil.virtual_memory().available
    model, device = settings.sections.base.model, _device(settings)
    needed: float = WORKING_MEMORY
    zh, en = f"内置模型要 {human_size(needed)} 以内", f"the embedded models take less than {human_size(needed)}"
    if model != EMBEDDED and device == "cuda":
        zh = f"{model} 放在显存里，内存另要 {human_size(needed)} 以内"
        en = f"{model} lies in GPU memory, the rest takes less than {human_size(needed)}"
    elif model != EMBEDDED:
        needed += training_needs(settings, device)
        zh = f"{model} 不在显存里，也要放在内存里，一共{_about(settings, call)} {human_size(needed)}"
        en = (
            f"{model}, which is not in GPU memory, lies there too, {_about(settings, call)} {human_size(needed)} in all"
        )
    yield Finding(
        "memory",
        "ok" if free > needed else "warning",
        call.say(f"内存：可用 {human_size(free)}；{zh}", f"main memory: {human_size(free)} available; {en}"),
    )


def _gpu(settings: Settings, call: Invocation) -> Iterator[Finding]:
    import torch

    needed = training_needs(settings, "cuda")
    if _device(settings) == "cuda":
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        yield Finding(
            "gpu",
            "ok" if free > needed else "bad",
            call.say(
                f"显卡：{name}，显存 {human_size(total)}，可用 {human_size(free)}；训练要{_about(settings, call)} {human_size(needed)}",
                f"GPU: {name}, {human_size(free)} of {human_size(total)} free; training takes {_about(settings, call)} "
                f"{human_size(needed)}",
            ),
        )
    elif settings.sections.base.model == EMBEDDED:
        yield Finding("gpu", "ok", call.say("显卡：没有；内置模型不需要", "GPU: none; the embedded models need none"))
    else:
        model = settings.sections.base.model
        unused = "[chat] device"
        none_zh, none_en = (
            (f"{unused} 不用它", f"{unused} leaves it unused")
            if torch.cuda.is_available()
            else ("没有 CUDA", "no CUDA")
        )
        yield Finding(
            "gpu",
            "warning",
            call.say(
                f"显卡：{none_zh}；训练 {model} 需要{_about(settings, call)} {human_size(needed)} 显存，在 CPU 上会慢得不实用",
                f"GPU: {none_en}; training {model} wants {_about(settings, call)} {human_size(needed)} of GPU memory and is "
                "impractically slow on a CPU",
            ),
        )


def _token(settings: Settings, call: Invocation) -> Iterator[Finding]:
    from hcf_pipeline.hub.token import token_source

    base, encoder = settings.sections.base.model, settings.sections.encoder.model
    source = token_source(settings.sections.hub)
    where = source or call.say("没有", "none")
    needed = call.say("公开的模型不需要", "public models need none")
    if base == encoder == EMBEDDED:
        needed = call.say("内置模型不需要", "the embedded models need none")
    yield Finding("token", "ok", call.say(f"令牌：{where}（{needed}）", f"token: {where} ({needed})"))


def _device(settings: Settings) -> str:
    """Where a real base is on this machine."""
    import torch

    from hcf_pipeline.sft.base_model import pick_device

    device = pick_device(settings.sections.chat.device)
    return device if device != "cuda" or torch.cuda.is_available() else "cpu"


def _about(settings: Settings, call: Invocation) -> str:
    return (
        call.say("约", "about")
        if _parameters(settings)
        else call.say("（不知道它多大）至少", "at least (its size is not known)")
    )


def training_needs(settings: Settings, device: str) -> float:
    """Bytes that training takes of the memory that the base lies in, by arithmetic: weights as they are loaded on that
    device, what moves through them, and a GB for the rest."""
    from hcf_pipeline.sft.base_model import is_quantized

    sections = settings.sections
    width = "whole" if device == "cpu" else "half"
    weights = BYTES_PER_PARAMETER["4bit" if is_quantized(sections.base.quantize, device) else width]
    weights *= _parameters(settings)
    tokens = sections.lora.batch_size * sections.lora.max_length
    kept = BYTES_PER_TOKEN["checkpointed" if sections.lora.gradient_checkpointing else "kept"]
    return weights + kept * tokens + 1 * GB


def _parameters(settings: Settings) -> float:
    """Of a model in a folder by its files, 16 bits each; of one on the Hub by its name; 0 where neither tells."""
    model = settings.sections.base.model
    if folder := settings.own_folder(model):
        return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2
    return next((count for size, count in PARAMETERS.items() if f"-{size}" in model.lower()), 0.0)


def _download(settings: Settings) -> float:
    """Bytes that the models take on disk, 16 bits a parameter."""
    return 0.0 if settings.own_folder(settings.sections.base.model) else 2 * _parameters(settings)
