"""From pairs to the adapter."""

import dataclasses
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hcf_pipeline.chat.prompt import NEUTRAL_SYSTEM, system_prompt
from hcf_pipeline.corpus.tables import PAIRS
from hcf_pipeline.defs.models import make_model, model_deps, model_recipe
from hcf_pipeline.defs.publishing import OWNERS, Step, columns, described, store_of
from hcf_pipeline.defs.samples import sample_table
from hcf_pipeline.errors import HcfError, RunFailed
from hcf_pipeline.files import file_sha256, hash_of
from hcf_pipeline.models import model_folder
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.sft.samples import SAMPLE_SCHEMA, write_samples
from hcf_pipeline.store import WORK, Artifact, Built, Markdown, Metadata, Recipe

SAMPLES = "samples"


def sft_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    store = store_of(settings)
    sections = settings.sections
    embedded = sections.base.model == EMBEDDED
    samples_by = Recipe(2, settings.reads("sft", "chat.persona_prompt"))
    base_by = model_recipe(settings, "base", "vocab_size", "hidden_size", "layers", "steps")
    adapter_by = Recipe(1, settings.reads("lora", "base.quantize"))

    @dg.asset(
        deps=["parsed_pairs"],
        description="Training samples: conversations of a few pairs each, rendered by the prompt that serving uses; the "
        "newest broadcasts are held out.\n\n训练样本，最新的几场留作检验。",
        group_name="training",
        kinds={"huggingface", "arrow"},
        owners=OWNERS,
        code_version=samples_by.code_version,
        metadata=described(
            samples_by,
            columns(
                SAMPLE_SCHEMA,
                messages="the conversation: system, then guest and host in turn",
                transcript="path in the corpus folder",
                first_turn="number of the first turn in it",
                last_turn="number of the last turn in it",
                n_chars="characters of guest and host",
            ),
        ),
    )
    def sft_dataset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            pairs = inputs["parsed_pairs"]
            persona = str(pairs.metadata["persona"])
            prompt = system_prompt(sections.chat.persona_prompt, persona)
            samples = folder / SAMPLES
            version, report = write_samples(
                pairs.path / PAIRS, sections.sft, prompt, samples, step.progress("broadcasts")
            )
            metadata: Metadata = {
                "rows": report.n_train + report.n_held_out,
                "persona": persona,
                "persona_prompt": sections.chat.persona_prompt,
                "system_prompt": prompt,
                **_numbers(report),
                "samples": sample_table(samples),
            }
            return Built(metadata, version)

        return step.publish(build)

    @dg.asset(
        deps=model_deps(sections.base),
        description=(
            "A small Qwen2 with its own tokenizer, built from the corpus: a toy that shows the machinery."
            if embedded
            else f"{sections.base.model}, pinned by commit."
        )
        + "\n\n基座模型。",
        group_name="training",
        kinds={"pytorch" if embedded else "huggingface"},
        owners=OWNERS,
        pool="gpu",
        code_version=base_by.code_version,
        metadata=described(base_by),
    )
    def base_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def fit(pairs: Path, held_out: Collection[str], folder: Path) -> Metadata:
            from hcf_pipeline.sft.base_model import fit_base

            progress = step.progress("pretraining steps")

            def told(done: int, total: int, loss: float) -> None:
                progress(done, total, f"loss {loss:.2f}")

            return _numbers(fit_base(pairs, sections.base, held_out, NEUTRAL_SYSTEM, folder, told))

        return make_model(step, settings, "language model", sections.base, fit)

    @dg.asset(
        deps=["base_model", "sft_dataset"],
        description="The LoRA adapter in PEFT's format, with the log of its training. It is trained in a process of its "
        "own and goes on from its last checkpoint after a crash.\n\nLoRA 适配器。",
        group_name="training",
        kinds={"pytorch", "huggingface"},
        owners=OWNERS,
        pool="gpu",
        code_version=adapter_by.code_version,
        metadata=described(adapter_by),
    )
    def lora_adapter(context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient) -> dg.MaterializeResult[None]:
        step = Step(context, store)

        def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
            work = store.home / "lora_adapter" / f"{WORK}{step.recipe().id}"  # found again after a crash
            order = {
                "base": str(model_folder(inputs["base_model"])),
                "base_name": sections.base.model if not embedded else EMBEDDED,
                "samples": str(inputs["sft_dataset"].path / SAMPLES),
                "lora": sections.lora.model_dump(mode="json"),
                "quantize": sections.base.quantize,
                "device": sections.chat.device,
                "work": str(work),
                "out": str(folder),
            }
            done = pipes.run(
                context=context,
                command=[sys.executable, "-m", "hcf_pipeline.defs.sft.train_process"],
                extras=order,
            )
            report = _report_of(done.get_custom_messages())
            shutil.rmtree(work, ignore_errors=True)
            learnt = {name: file_sha256(folder / name) for name in ("adapter_model.safetensors", "adapter_config.json")}
            return Built(_training_metadata(report, folder), hash_of(learnt))  # the picture of the loss doesn't count

        return step.publish(build)

    return [sft_dataset, base_model, lora_adapter]


def _numbers(report: object) -> dict[str, int | float | str]:
    """A report's plain values as metadata."""
    values = dataclasses.asdict(report)  # type: ignore[call-overload]
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in values.items()
        if isinstance(value, (int, float, str)) and key != "version"
    }


def _training_metadata(report: Mapping[str, int | float | str], adapter: Path) -> Metadata:
    import base64

    curve = base64.b64encode((adapter / "loss.png").read_bytes()).decode("ascii")
    numbers = {key: round(value, 4) if isinstance(value, float) else value for key, value in report.items()}
    return {**numbers, "loss_curve": Markdown(f"![loss](data:image/png;base64,{curve})")}


def _report_of(messages: Sequence[Any]) -> Mapping[str, int | float | str]:
    """What the training process said last: its report, or an error in the user's words."""
    last = messages[-1] if messages else {}
    if error := last.get("error"):
        refusal = HcfError(zh=error["zh"], en=error["en"])
        refusal.exit_code = error["exit_code"]
        raise refusal
    if "report" not in last:
        raise RunFailed(
            zh="训练进程没有交出结果；请用 hcf ui 看这次运行的日志。",
            en="The training process gave no result; see the run's log in hcf ui.",
        )
    report: Mapping[str, int | float | str] = last["report"]
    return report
