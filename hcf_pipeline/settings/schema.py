"""The settings, typed: a section for each part of the pipeline. `file.py` reads them.

The code version of an asset folds in the settings that it reads (`Settings.reads`), so a change makes stale just what
depends on it. Which settings may stand in a code version, and which in a release, is said by their kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hcf_pipeline.corpus.link import FIELDS, fields_of, is_address
from hcf_pipeline.settings.types import (
    Cron,
    CronOrEmpty,
    Day,
    Kind,
    Labels,
    Natural,
    NonEmpty,
    Pattern,
    Positive,
    Refused,
    Result,
    Run,
    Section,
    Seed,
    Serving,
    Share,
    SharePossiblyZero,
    TimeZone,
    compiles,
)

EMBEDDED = "embedded"
ANYBODY = "*"  # in guest_labels: whoever speaks and is set nowhere
FORM_NAMES = ("auto", "label", "bracket", "tab", "name_time", "heading", "name", "subtitles", "ass", "json")


class CorpusSettings(Section):
    kind = Kind.RESULT

    path: Run[Path] = Field(Path("data/sample"), description="the corpus folder, relative to hcf.toml")
    include: list[NonEmpty] = Field(["*.md"], description="file name patterns of transcripts")
    form: NonEmpty = Field(
        "auto",
        description='how turns are opened: "label" (a name and a colon), "bracket" (【name】), "tab", "name_time" (a name and a '
        'time on a line of their own), "heading" (### name), "name" (a name on a line of its own), "subtitles", "ass", "json"; '
        '"auto" looks at each file; or a regular expression with the groups label, text and time, matched at the start of a line',
    )
    json_fields: list[NonEmpty] = Field(
        [], description="names of the fields of speaker, start and text in recogniser JSON; empty: the usual ones"
    )
    exclude: list[NonEmpty] = Field(
        ["README*.md", "SUMMARY.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE*.md", ".*"],
        description="file or folder name patterns, or path patterns, that are no transcripts",
    )
    host_labels: Labels = Field(["江照野", "户晨风"], description="labels of the persona's turns")
    guest_labels: list[NonEmpty] = Field(
        ["水友", "某网友"],
        description='labels of everybody else\'s turns; "*": whoever is not the host; empty: only the host speaks, and learns to go on',
    )
    other_labels: list[NonEmpty] = Field(
        [], description="labels of speakers who are neither: what they say is nobody's, and ends the pair before"
    )
    not_labels: list[NonEmpty] = Field([], description="what stands before a colon at line starts and is no speaker")
    date_pattern: str = Field(
        "",
        description="regular expression with the groups year, month and day, searched in the file name; empty: days in all "
        "usual ways, in the path, the front matter (date, publish_date, published) and the first heading",
    )
    date_order: Literal["day", "month"] = Field("day", description="what comes first in 05.03.2024")
    interrupted_pattern: Pattern = Field(r"-INC$", description="searched in the file name without its ending")
    noise: list[Pattern] = Field([r"^【API调用失败"], description="regular expressions of lines to drop")
    lost_pattern: Pattern = Field(
        r"失败|错误|异常|超时|中断|断开|丢失|缺失|听不清|无法识别|(?i:error|fail|timed? ?out|lost|missing|inaudible|unintelligible)",
        description="searched in lines of noise: where it matches, words were lost, and the turn is not learnt",
    )
    max_file_mb: Positive = Field(64, description="larger files are quarantined, MB of 1,000,000 bytes")
    link: Serving[str] = Field(
        "",
        description="where a citation opens, such as https://example.org/{path} or {url}?t={start_s}; of {path}, {date}, {title}, "
        "{url} (the front matter's) and {start_s} (whole seconds); a citation without a value for one of them has no link",
    )
    git_url: Run[str] = Field("", description="what `hcf corpus fetch` without an argument clones or updates")

    @field_validator("date_pattern")
    @classmethod
    def _date_groups(cls, pattern: str) -> str:
        if not pattern:
            return pattern
        groups = re.compile(compiles(pattern)).groupindex
        if not {"year", "month", "day"} <= set(groups):
            groups_needed = "(?P<year>…) (?P<month>…) (?P<day>…)"
            raise Refused(
                zh=f"含有 {groups_needed} 三个分组的正则表达式", en=f"a pattern with the groups {groups_needed}"
            )
        return pattern

    @field_validator("link")
    @classmethod
    def _link(cls, template: str) -> str:
        allowed = " ".join(f"{{{name}}}" for name in FIELDS)
        try:
            unknown = set(fields_of(template)) - set(FIELDS)
        except ValueError:
            unknown = {"{"}
        if template and (unknown or not is_address(template)):
            raise Refused(
                zh=f"以 http:// 或 https:// 或 {{url}} 开头、不含空格的地址，其中的字段只能是 {allowed}",
                en=f"an address that begins with http://, https:// or {{url}} and holds no space, with no other fields than {allowed}",
            )
        return template

    @field_validator("form")
    @classmethod
    def _form(cls, form: str) -> str:
        if form in FORM_NAMES or "label" in re.compile(compiles(form)).groupindex:
            return form
        raise Refused(
            zh=f"{' '.join(FORM_NAMES)} 之一，或含有分组 (?P<label>…) 的正则表达式",
            en=f"one of {' '.join(FORM_NAMES)}, or a regular expression with the group (?P<label>…)",
        )

    @field_validator("json_fields")
    @classmethod
    def _json_fields(cls, names: list[str]) -> list[str]:
        if len(names) not in (0, 3):
            raise Refused(
                zh="三个字段名：说话人、开始时间、文字", en="three names of fields: those of speaker, start and text"
            )
        return names

    @field_validator("host_labels", "guest_labels", "other_labels", "not_labels")
    @classmethod
    def _labels(cls, labels: list[str], info: ValidationInfo) -> list[str]:
        for label in labels:
            if label != label.strip() or "：" in label or ":" in label or "\n" in label:
                raise Refused(
                    zh="不带冒号、前后无空格的称呼", en="a label without its colon and without spaces around it"
                )
        if ANYBODY in labels and info.field_name != "guest_labels":
            raise Refused(
                zh=f'称呼；"{ANYBODY}" 只能写在 guest_labels 里',
                en=f'labels; "{ANYBODY}" may stand in guest_labels alone',
            )
        return labels

    @property
    def is_monologue(self) -> bool:
        """Nobody asks: the persona speaks alone."""
        return not self.guest_labels

    @model_validator(mode="after")
    def _sides_differ(self) -> Self:
        seen: dict[str, str] = {}
        for key in ("host_labels", "guest_labels", "other_labels", "not_labels"):
            for name in sorted(set(getattr(self, key))):
                before = seen.setdefault(name, key)
                if before != key:
                    raise Refused(
                        zh=f"每个称呼只属于一方（{name} 同时在 {before} 和 {key} 里）",
                        en=f"each label on one side only ({name} stands in {before} and in {key})",
                    )
        return self


class SftSettings(Section):
    kind = Kind.RESULT

    sample_ratio: Share = Field(1.0, description="share of the broadcasts to train on, by whole broadcasts")
    held_out_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.05, description="share of the dated broadcasts, the newest, kept for evaluation"
    )
    max_chars: Annotated[int, Field(ge=32, le=32768)] = Field(700, description="characters of a sample at most")
    max_pairs: Positive = Field(8, description="pairs of a sample at most")
    min_host_chars: Natural = Field(2, description="shorter answers are not learnt")
    seed: Seed = Field(42, description="the same seed gives the same result")


class BaseSettings(Section):
    kind = Kind.RESULT

    model: NonEmpty = Field(EMBEDDED, description='"embedded", a Hub id, or a folder')
    revision: NonEmpty = Field("main", description="commit, tag or branch on the Hub")
    quantize: Literal["auto", "4bit", "none"] = Field("auto", description="auto: 4-bit where CUDA is there")
    vocab_size: Annotated[int, Field(ge=300, le=200_000)] = Field(4000, description="embedded only")
    hidden_size: Annotated[int, Field(ge=16, le=4096, multiple_of=16)] = Field(128, description="embedded only")
    layers: Annotated[int, Field(ge=1, le=64)] = Field(4, description="embedded only")
    steps: Positive = Field(300, description="embedded only: pretraining steps, fewer on a small corpus")
    refit_after: Run[SharePossiblyZero] = Field(0.2, description="embedded only: share of changed pairs that refits it")
    seed: Seed = Field(42, description="the same seed gives the same result")


class LoraSettings(Section):
    kind = Kind.RESULT

    enabled: Serving[bool] = Field(
        True, description="false: nothing is trained, and what is released answers with the persona's own words alone"
    )
    r: Annotated[int, Field(ge=1, le=1024)] = Field(16, description="rank of the adapter")
    alpha: Annotated[int, Field(ge=1, le=4096)] = Field(32, description="scale of the adapter, over r")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.05, description="on the adapter's input")
    target_modules: list[NonEmpty] = Field(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        min_length=1,
        description="layers that get an adapter",
    )
    epochs: Annotated[float, Field(gt=0, le=1000)] = Field(1.0, description="passes over the training samples")
    max_steps: Natural = Field(0, description="0: no cap")
    batch_size: Positive = Field(2, description="samples on the device at a time")
    gradient_accumulation: Positive = Field(8, description="batches of one optimizer step")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(2e-4, description="the highest, after the warm-up")
    warmup_share: SharePossiblyZero = Field(0.03, description="share of the steps that the rate rises over")
    max_length: Annotated[int, Field(ge=32, le=131072)] = Field(1024, description="tokens of a sample at most")
    gradient_checkpointing: bool = Field(False, description="less memory, a third more time")
    checkpoint_steps: Run[Positive] = Field(200, description="optimizer steps between two checkpoints")
    held_out_samples: Run[Natural] = Field(64, description="held-out samples that the result is judged by, at most")
    seed: Seed = Field(42, description="the same seed gives the same result")


class ChunkSettings(Section):
    kind = Kind.RESULT

    max_chars: Annotated[int, Field(ge=32, le=32768)] = Field(500, description="characters of a chunk at most")
    overlap_turns: Annotated[int, Field(ge=0, le=16)] = Field(0, description="turns that two neighbours share")
    sample_share: Share = Field(1.0, description="share of the chunks that is kept, seeded")
    seed: Seed = Field(42, description="the same seed gives the same result")


class EncoderSettings(Section):
    kind = Kind.RESULT

    model: NonEmpty = Field(EMBEDDED, description='"embedded", a Hub id, or a folder')
    revision: NonEmpty = Field("main", description="commit, tag or branch on the Hub")
    query_prompt: Serving[str] = Field("", description="instruction put before a question, as bge models want it")
    dim: Annotated[int, Field(ge=8, le=4096)] = Field(256, description="embedded only")
    vocab_size: Annotated[int, Field(ge=300, le=500_000)] = Field(16_000, description="embedded only")
    steps: Positive = Field(600, description="embedded only: training steps, fewer where the corpus is small")
    refit_after: Run[SharePossiblyZero] = Field(0.2, description="embedded only: share of changed pairs that refits it")
    batch_size: Run[Positive] = Field(64, description="texts encoded at a time")
    seed: Seed = Field(42, description="the same seed gives the same result")


class RetrievalSettings(Section):
    kind = Kind.SERVING

    top_k: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="chunks that an answer may cite")
    k1: Annotated[float, Field(ge=0, le=10)] = Field(0.9, description="BM25: how fast repetition saturates")
    b: SharePossiblyZero = Field(0.4, description="BM25: how much a chunk's length counts")
    dense_weight: SharePossiblyZero = Field(0.1, description="share of the dense score in the fused one")
    neighbour_share: SharePossiblyZero = Field(0.2, description="of both neighbours' scores, added to a chunk's own")
    context_turns: Annotated[int, Field(ge=0, le=16)] = Field(
        1, description="turns before and after a chunk that the model sees with it"
    )
    date_factor: SharePossiblyZero = Field(
        0.85,
        description="what scores outside the time that a question names (去年, 2024年5月) are multiplied with, "
        "four times where it is a day or a week; 0: only that time, 1: date words mean nothing",
    )
    today: Day | None = Field(
        None, description="the day that 去年 and 上个月 are meant from; without it the calendar's in [refresh] timezone"
    )
    reranker: str = Field(
        "", description='a CrossEncoder that orders the first hits anew: a Hub id, or a folder; "": none'
    )
    reranker_revision: NonEmpty = Field("main", description="commit, tag or branch on the Hub")
    rerank_top: Annotated[int, Field(ge=1, le=1000)] = Field(30, description="hits that the reranker reads")
    questions: Result[list[Path]] = Field(
        [], description="JSON Lines files of questions with the date of the right broadcast, for the scorecard"
    )
    one_per_transcript: bool = Field(False, description="keep only the best chunk of each broadcast")
    min_score: Annotated[float, Field(ge=0, le=1)] = Field(
        0.15,
        description="evidence below it (the best score, less where little of the question was met or its words are unusual) "
        "cites nothing; 0: always cite",
    )


class ChatSettings(Section):
    kind = Kind.SERVING

    persona_prompt: Result[NonEmpty] = Field(
        "你在模仿主播{persona}说话。请用{persona}的口吻，像直播时那样口语化地回答水友的问题。",
        description="the system prompt; {persona} is the host label that was found",
    )
    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] = Field(300, description="length of an answer at most")
    temperature: Annotated[float, Field(ge=0, le=5)] = Field(0.7, description="0: always the likeliest token")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(0.9, description="nucleus sampling")
    repetition_penalty: Annotated[float, Field(ge=0.5, le=5)] = Field(1.1, description="1: none")
    history_turns: Natural = Field(6, description="earlier questions and answers that the model sees")
    context_chars: Natural = Field(1500, description="characters of retrieved text that the model sees")
    device: Run[Literal["auto", "cpu", "cuda", "mps"]] = Field(
        "auto", description="where models run, training included"
    )
    seed: Seed | None = Field(None, description="makes sampled answers repeatable")

    @field_validator("persona_prompt")
    @classmethod
    def _placeholder(cls, prompt: str) -> str:
        rest = prompt.replace("{persona}", "")
        if "{" in rest or "}" in rest:
            raise Refused(zh="只含 {persona} 一个占位符的文字", en="text whose only placeholder is {persona}")
        return prompt


class ServeSettings(Section):
    kind = Kind.RUN

    host: NonEmpty = Field("127.0.0.1", description="where `hcf ui` listens")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(3000, description="its port")


class HubSettings(Section):
    kind = Kind.RUN

    token_env: list[NonEmpty] = Field(
        ["HF_TOKEN", "FUCHENFENG_TOKEN"], description="environment variables that may hold the Hub token, in order"
    )


class RefreshSettings(Section):
    kind = Kind.RUN

    automation: bool = Field(False, description="the schedule and the sensors start switched on")
    cron: Cron = Field("0 4 * * *", description="when the corpus is pulled (where it is kept in Git) and looked at")
    timezone: TimeZone = Field(
        "Asia/Shanghai", description="of cron and train_cron, and of the day on which a question is asked"
    )
    watch_seconds: Annotated[int, Field(ge=2, le=86_400)] = Field(
        30, description="between two looks at the corpus, and at what is stale; a file counts once two looks agree"
    )
    train_pairs: Natural = Field(
        500, description="new and vanished pairs that start a training by themselves; 0: their number never does"
    )
    train_cron: CronOrEmpty = Field(
        "0 5 * * 1", description='when waiting pairs are trained on in any case; "" is never'
    )
    max_runtime_hours: Annotated[float, Field(gt=0, le=24 * 30)] = Field(24, description="a longer run is failed")
    cache_gb: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        2, description="vectors kept beside the artifacts, 10^9 bytes at most"
    )


class RunSettings(Section):
    kind = Kind.RUN

    threads: Annotated[int, Field(ge=0, le=4096)] = Field(
        0, description="that fits and trainings compute with on a CPU; 0: as many as the process may use"
    )


class ReleaseSettings(Section):
    kind = Kind.RUN

    keep: Positive = Field(5, description="releases that stay, with all that they need, for a rollback")
    max_lost: SharePossiblyZero = Field(
        0.5, description="gate: share of the released transcripts that may be gone; more is taken for an accident"
    )
    max_loss_rise: Annotated[float, Field(ge=0, le=1000)] = Field(
        0.1, description="gate: nats that the adapter may be worse than its base on what is held out"
    )
    max_recall_fall: SharePossiblyZero = Field(
        0.1, description="gate: how much less of the questions retrieval may find than that of the release that serves"
    )


class Sections(Section):
    """The sections of `hcf.toml`, one for each part of the pipeline."""

    kind = Kind.RUN  # of the profile's name: what it sets counts by itself

    profile: str = EMBEDDED
    corpus: CorpusSettings = CorpusSettings()
    sft: SftSettings = SftSettings()
    base: BaseSettings = BaseSettings()
    lora: LoraSettings = LoraSettings()
    chunks: ChunkSettings = ChunkSettings()
    encoder: EncoderSettings = EncoderSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    chat: ChatSettings = ChatSettings()
    serve: ServeSettings = ServeSettings()
    hub: HubSettings = HubSettings()
    refresh: RefreshSettings = RefreshSettings()
    release: ReleaseSettings = ReleaseSettings()
    run: RunSettings = RunSettings()


@dataclass(frozen=True)
class Settings:
    """One validated configuration and where it came from."""

    sections: Sections
    config: Path  # the hcf.toml that was read
    home: Path  # artifacts and Dagster's storage

    @property
    def root(self) -> Path:
        return self.config.parent

    @property
    def corpus_path(self) -> Path:
        return (self.root / self.sections.corpus.path).resolve()

    def own_folder(self, model: str) -> Path | None:
        """The folder that a model's name means: one beside hcf.toml, or in the user's home ("~/…"); None where none is there."""
        try:
            folder = self.root / Path(model).expanduser()
            return folder.resolve() if folder.is_dir() else None
        except (OSError, RuntimeError):  # too long for a name, or of a user whom this machine does not know
            return None

    @property
    def question_files(self) -> dict[Path, Path]:
        """The files of questions as they are given, and where they lie."""
        return {given: self.root / given for given in self.sections.retrieval.questions}

    def reads(self, *names: str) -> dict[str, object]:
        """The values of some settings, "chunks.max_chars", as plain JSON by name; "chunks" is all of a section that changes a
        result.

        Raises KeyError for one that there isn't, ValueError for one that only changes a run.
        """
        found: dict[str, object] = {}
        for name in names:
            section, _, field = name.partition(".")
            values = getattr(self.sections, section).model_dump(mode="json")
            kinds = getattr(self.sections, section).kinds()
            if field and kinds[field] is Kind.RUN:
                raise ValueError(f"{name} changes a run, and no result")
            wanted = [field] if field else [key for key, kind in kinds.items() if kind is Kind.RESULT]
            found |= {f"{section}.{key}": values[key] for key in wanted}
        return found

    def serving(self) -> dict[str, object]:
        """Every setting that changes what is answered from the same assets, as `reads` gives them."""
        found = {
            f"{section}.{key}": kind
            for section in Sections.model_fields
            if isinstance(values := getattr(self.sections, section), Section)
            for key, kind in values.kinds().items()
        }
        return self.reads(*(name for name, kind in found.items() if kind is Kind.SERVING))
