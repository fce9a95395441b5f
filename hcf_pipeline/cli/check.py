"""`hcf check`: would a refresh go through on this machine? The corpus (corpus_check.py), disk, memory, GPU and token.

What training alone needs is asked for only where something will be trained.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict

from hcf_pipeline.cli.console import Invocation, human_size, only_json, out, print_json
from hcf_pipeline.cli.findings import Finding
from hcf_pipeline.errors import HcfError, UserError
from hcf_pipeline.files import files_below
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.text import one_line

MARKS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "bad": ("✘", "red")}
GB = 1_000_000_000

# Measured with the default corpus sizes; one build takes 7 bytes a corpus byte; room for a second one.
HOME_BYTES_PER_CORPUS_BYTE = 15
EMBEDDED_DISK = 1 * GB
WORKING_MEMORY = 3 * GB  # main memory for everything but a real base model

# Qwen1.5-4B: parameters, and what training keeps beside the weights.
PARAMETERS = {"0.5b": 0.62e9, "1.8b": 1.84e9, "4b": 3.95e9, "7b": 7.72e9, "14b": 14.2e9}
BYTES_PER_PARAMETER = {"4bit": 0.85, "half": 2.0, "whole": 4.0}  # 4-bit leaves embeddings and output layer at 16 bits
# Of a 4B Qwen: its logits and their gradient in 32 bits (152,000 × 8 bytes), and what 40 layers keep of each token.
BYTES_PER_TOKEN = {"checkpointed": 1.5e6, "kept": 8e6}


def run_check(call: Invocation, *, deep: bool, as_json: bool) -> None:
    from hcf_pipeline.cli.corpus_check import check_corpus
    from hcf_pipeline.cli.deep import deep_findings

    settings = call.settings(file_optional=True)
    with only_json():
        corpus = check_corpus(settings, call)
        trains = corpus.can_train and settings.sections.lora.enabled
        findings = [
            *corpus.findings,
            *_disk(settings, call),
            *_memory(settings, call, trains=trains),
            *_gpu(settings, call, trains=trains),
            *_token(settings, call),
            *_servers(settings, call),
            *(deep_findings(settings, call) if deep else ()),
        ]
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


def _memory(settings: Settings, call: Invocation, *, trains: bool = True) -> Iterator[Finding]:
    """Main memory. On CUDA a real base lies in the GPU's, which is another finding's."""
    import psutil

    free = psutil.virtual_memory().available
    model, device = settings.sections.base.model, _device(settings)
    needed: float = WORKING_MEMORY
    zh, en = f"内置模型要 {human_size(needed)} 以内", f"the embedded models take less than {human_size(needed)}"
    if not trains:
        zh, en = f"不训练，要 {human_size(needed)} 以内", f"without training less than {human_size(needed)} is needed"
    elif model != EMBEDDED and device == "cuda":
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


def _gpu(settings: Settings, call: Invocation, *, trains: bool = True) -> Iterator[Finding]:
    import torch

    needed = training_needs(settings, "cuda")
    if not trains:
        yield Finding("gpu", "ok", call.say("显卡：不训练，不需要", "GPU: nothing is trained, so none is needed"))
    elif _device(settings) == "cuda":
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
    if settings.sections.encoder.base_url:  # nothing of it is fetched
        encoder = EMBEDDED
    source = token_source(settings.sections.hub)
    where = source or call.say("没有", "none")
    needed = call.say("公开的模型不需要", "public models need none")
    if encoder == EMBEDDED and (base == EMBEDDED or not settings.sections.lora.enabled):
        needed = call.say("内置模型不需要", "the embedded models need none")
    yield Finding("token", "ok", call.say(f"令牌：{where}（{needed}）", f"token: {where} ({needed})"))


def _servers(settings: Settings, call: Invocation) -> Iterator[Finding]:
    """Asks each server that the settings name for one small answer."""
    sections = settings.sections
    url, model = sections.encoder.base_url, sections.encoder.model
    try:
        if url:
            from hcf_pipeline.rag.encode.server_encoder import pin_server

            dim = pin_server(sections.encoder, ()).dim
            words = call.say(
                f"编码器：{url} 上的 {model} 有答复，{dim} 维", f"encoder: {model} at {url} answers, {dim} dimensions"
            )
            yield Finding("encoder", "ok", words)
    except HcfError as error:
        yield Finding("encoder", "bad", call.say(f"编码器：{error.zh}", f"encoder: {error.en}"))
    url, model = sections.retrieval.reranker_url, sections.retrieval.reranker
    try:
        if url and model:
            from hcf_pipeline.rag.search.server_reranker import ServerReranker

            ServerReranker(model, sections).scores("?", ["!"])
            yield Finding(
                "reranker",
                "ok",
                call.say(f"重排模型：{url} 上的 {model} 有答复", f"reranker: {model} at {url} answers"),
            )
    except HcfError as error:
        yield Finding("reranker", "bad", call.say(f"重排模型：{error.zh}", f"reranker: {error.en}"))


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
    """Bytes that the models take on disk, 16 bits a parameter; a base is had only where training is not switched off."""
    sections = settings.sections
    return 0.0 if settings.own_folder(sections.base.model) or not sections.lora.enabled else 2 * _parameters(settings)
