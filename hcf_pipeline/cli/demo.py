"""`hcf demo`: the whole pipeline on the sample corpus, then three questions answered with citations."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from hcf_pipeline.cli.answers import show_answer
from hcf_pipeline.cli.console import Invocation, only_json, out
from hcf_pipeline.cli.refresh import refresh_with_bars
from hcf_pipeline.errors import UserError
from hcf_pipeline.jsonl import read_objects

N_QUESTIONS = 3
SAMPLE = Path("data/sample")
QUESTIONS = "questions.jsonl"


def run_demo(call: Invocation) -> None:
    """The corpus is the sample whatever hcf.toml names: then it is the demo's own home that is written to."""
    from hcf_pipeline.chat.engine import engine_for

    settings = call.settings()
    sample = settings.root / SAMPLE
    if not sample.is_dir():
        raise UserError(
            zh=f"没有示例文稿 {sample}；请在项目的克隆里运行 hcf demo。",
            en=f"The sample corpus {sample} is not there; run hcf demo in a clone of the project.",
        )
    if settings.corpus_path != sample.resolve():
        corpus = settings.sections.corpus.model_copy(update={"path": SAMPLE})
        sections = settings.sections.model_copy(update={"corpus": corpus})
        settings = replace(settings, sections=sections, home=settings.home.with_name(settings.home.name + "-demo"))
    began = time.monotonic()
    refreshed = refresh_with_bars(settings, call.lang)
    n, s = len(refreshed.ran), refreshed.seconds
    out.print(call.say(f"更新了 {n} 个产物，用时 {s:.1f} 秒。", f"{n} assets made in {s:.1f} s."))
    with only_json():
        engine = engine_for(settings)
        answers = [(question, engine.answer(question)) for question in _questions(sample / QUESTIONS)]
    for question, answer in answers:
        out.print()
        out.print(call.say(f"问：{question}", f"Q: {question}"), style="bold")
        show_answer(answer, toy=engine.release.toy, lang=call.lang)
    out.print()
    seconds = time.monotonic() - began
    out.print(
        call.say(
            f"全程 {seconds:.0f} 秒。接着试试：hcf chat、hcf ui，或用你自己的文稿：hcf init 目录。",
            f"{seconds:.0f} s in all. Next: hcf chat, hcf ui, or your own transcripts: hcf init FOLDER.",
        )
    )


def _questions(file: Path) -> list[str]:
    """Three questions that the sample answers, spread over its months."""
    dated = sorted(
        (row for _, row in read_objects(file) if row.get("date") and row.get("question")),
        key=lambda row: str(row["date"]),
    )
    step = max(1, len(dated) // N_QUESTIONS)
    return [str(row["question"]) for row in dated[step // 2 :: step][:N_QUESTIONS]]
