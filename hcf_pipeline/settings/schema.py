"""The settings, typed: a section for each part of the pipeline. `file.py` reads them.

The code version of an asset folds in the settings that it reads (`Settings.reads`), so a change makes stale just what
depends on it. Which settings may stand in a code version, and which in a release, is said by their kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from hcf_pipeline.settings.corpus import CorpusSettings
from hcf_pipeline.settings.types import (
    AddressOrEmpty,
    Cron,
    CronOrEmpty,
    Day,
    Kind,
    Natural,
    NonEmpty,
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
    VariableOrEmpty,
)

EMBEDDED = "embedded"


class SftSettings(Section):
    kind = Kind.RESULT

    sample_ratio: Share = Field(1.0, description="share of the broadcasts to train on, by whole broadcasts")
    held_out_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.05,
        description="share of the dated broadcasts, the newest, kept for evaluation; where none has a date, of the latest by the "
        "number of the episode",
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
    base_url: Run[AddressOrEmpty] = Field(
        "",
        description='an OpenAI-compatible server of embeddings, up to its /v1; `model` is its name there; "": the model runs here',
    )
    api_key_env: Run[VariableOrEmpty] = Field(
        "", description='with base_url: the environment variable that holds the key; "": none is sent'
    )
    query_input_type: Serving[str] = Field(
        "", description='with base_url: `input_type` of a question, where the server knows it ("query"); "": not sent'
    )
    document_input_type: str = Field("", description='with base_url: `input_type` of a chunk ("passage", "document")')
    document_prompt: str = Field(
        "", description='with base_url: put before a chunk, as e5 models want it ("passage: ")'
    )
    timeout_s: Run[Annotated[float, Field(gt=0, le=86_400)]] = Field(
        120, description="that a server has for one answer, a reranker's too"
    )
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
    dense_weight: SharePossiblyZero | Literal["auto"] = Field(
        "auto", description='share of the dense score in the fused one; "auto": chosen by the scorecard\'s questions'
    )
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
    reranker_url: AddressOrEmpty = Field(
        "",
        description="the address of a server's rerank, whole; `reranker` is the model's name there; \"\": it runs here",
    )
    reranker_api_key_env: Run[VariableOrEmpty] = Field(
        "", description='with reranker_url: the environment variable that holds the key; "": none is sent'
    )
    rerank_top: Annotated[int, Field(ge=1, le=1000)] = Field(30, description="hits that the reranker reads")
    questions: Result[list[Path]] = Field(
        [], description="JSON Lines files of questions with the date of the right broadcast, for the scorecard"
    )
    one_per_transcript: bool = Field(False, description="keep only the best chunk of each broadcast")
    min_score: SharePossiblyZero | Literal["auto"] = Field(
        "auto",
        description="evidence below it (the best score, less where little of the question was met or its words are unusual) "
        'cites nothing; 0: always cite; "auto": 0.15, unless the scorecard\'s questions say otherwise',
    )


class ChatSettings(Section):
    kind = Kind.SERVING

    persona_prompt: Result[str] = Field(
        "",
        description='the system prompt, {persona} is the host label that was found; "": one in the language of the corpus',
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
    min_spoken: SharePossiblyZero = Field(
        0.3,
        description="gate: share of the text that has to have a speaker; with less the transcripts are hardly read as they are "
        "written. 0: whatever it is",
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
