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
from hcf_pipeline.settings import CorpusSettings, Sections, Settings

N_QUESTIONS = 3
SAMPLE = Path("data/sample")
INSTALLED = Path(__file__).resolve().parents[1] / "sample"  # where a wheel has it
QUESTIONS = "questions.jsonl"


def run_demo(call: Invocation) -> None:
    """The corpus is the sample whatever hcf.toml says: then it is the demo's own home that is written to."""
    from hcf_pipeline.chat.engine import engine_for

    own = call.settings(file_optional=True)
    sample = sample_of(own.root)
    settings = demo_settings(own, sample)
    began = time.monotonic()
    refreshed = refresh_with_bars(settings, call.lang)
    n, s = len(refreshed.ran), refreshed.seconds
    out.print(call.say(f"更新了 {n} 个产物，用时 {s:.1f} 秒。", f"{n} assets made in {s:.1f} s."))
    with only_json():
        engine = engine_for(settings)
        answers = [(question, engine.answer(question, lang=call.lang)) for question in _questions(sample / QUESTIONS)]
    for question, answer in answers:
        out.print()
        out.print(call.say(f"问：{question}", f"Q: {question}"), style="bold")
        show_answer(answer, toy=engine.release.toy, lang=call.lang)
    out.print()
    seconds = time.monotonic() - began
    if settings.home == own.home:
        zh, en = (
            "hcf chat、hcf ui，或用你自己的文稿：hcf init 目录",
            "hcf chat, hcf ui, or your own transcripts: hcf init FOLDER",
        )
    else:
        home = settings.home.relative_to(Path.cwd()) if settings.home.is_relative_to(Path.cwd()) else settings.home
        step = "hcf refresh" if own.config.exists() else call.say("hcf init 目录", "hcf init FOLDER")
        zh, en = (
            f"hcf chat --home {home}（示例的），或用你自己的文稿：{step}",
            f"hcf chat --home {home} (the sample's), or your own transcripts: {step}",
        )
    out.print(call.say(f"全程 {seconds:.0f} 秒。接着试试：{zh}。", f"{seconds:.0f} s in all. Next: {en}."))


def sample_of(project: Path) -> Path:
    """The sample corpus: of the clone that the project is, of the one that this code lies in, or of the installed package.

    Raises UserError.
    """
    places = (project / SAMPLE, Path(__file__).resolve().parents[2] / SAMPLE, INSTALLED)
    found = next((place for place in places if (place / QUESTIONS).is_file()), None)
    if found is None:
        raise UserError(
            zh=f"没有示例文稿 {project / SAMPLE}；请在项目的克隆里运行 hcf demo，或重新安装。",
            en=f"The sample corpus {project / SAMPLE} is not there; run hcf demo in a clone of the project, or install again.",
        )
    return found


def demo_settings(settings: Settings, sample: Path) -> Settings:
    """The settings with all that speaks of a corpus as the sample wants it, from wherever it was set.

    What models are used, and how much this machine can do, stays the user's. A home that other settings write to is
    left alone.
    """
    sections = settings.sections
    is_there = settings.corpus_path == sample.resolve()
    corpus = CorpusSettings(path=sections.corpus.path if is_there else sample)
    defaults = Sections()
    retrieval = {name: getattr(defaults.retrieval, name) for name in ("questions", "today")}
    persona = {"persona_prompt": defaults.chat.persona_prompt}
    meant = sections.model_copy(
        update={
            "corpus": corpus,
            "retrieval": sections.retrieval.model_copy(update=retrieval),
            "chat": sections.chat.model_copy(update=persona),
        }
    )
    if meant == sections:
        return settings
    return replace(settings, sections=meant, home=settings.home.with_name(settings.home.name + "-demo"))


def _questions(file: Path) -> list[str]:
    """Three questions that the sample answers, spread over its months."""
    dated = sorted(
        (row for _, row in read_objects(file) if row.get("date") and row.get("question")),
        key=lambda row: str(row["date"]),
    )
    step = max(1, len(dated) // N_QUESTIONS)
    return [str(row["question"]) for row in dated[step // 2 :: step][:N_QUESTIONS]]
