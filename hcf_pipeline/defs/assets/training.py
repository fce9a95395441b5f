"""From pairs to the adapter."""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import dagster as dg

from hcf_pipeline.asset_names import BASE_MODEL, HELD_OUT_SPLIT, LORA_ADAPTER, PARSED_PAIRS, SFT_DATASET
from hcf_pipeline.chat.release import made_from
from hcf_pipeline.corpus.fitted import FITTED_ON, seen_transcripts
from hcf_pipeline.corpus.held_out import HELD_OUT, HeldOut
from hcf_pipeline.corpus.tables import PAIRS, lang_of_pairs, read_pairs
from hcf_pipeline.defs.models import make_model
from hcf_pipeline.defs.publishing import OWNERS, Step, columns
from hcf_pipeline.defs.samples import sample_table
from hcf_pipeline.defs.sft.order import numbers, ordered, plain, training_metadata
from hcf_pipeline.files import file_sha256, hash_of
from hcf_pipeline.hub.models import model_folder, model_source
from hcf_pipeline.lm.prompt import WORDS, system_prompt
from hcf_pipeline.machine.hardware import resolve_quantize
from hcf_pipeline.settings import Settings
from hcf_pipeline.sft.samples import SAMPLE_SCHEMA, write_samples
from hcf_pipeline.store import WORK, Artifact, Built, Metadata, Store

SAMPLES = "samples"


@dg.asset(
    deps=[PARSED_PAIRS, HELD_OUT_SPLIT],
    description="Training samples: conversations of a few pairs each, rendered by the prompt that serving uses; the "
    "newest broadcasts are held out.\n\n训练样本，最新的几场留作检验。",
    group_name="training",
    kinds={"huggingface", "arrow"},
    owners=OWNERS,
    metadata=columns(
        SAMPLE_SCHEMA,
        messages="the conversation: system, then guest and host in turn",
        transcript="path in the corpus folder",
        first_turn="number of the first turn in it",
        last_turn="number of the last turn in it",
        n_chars="characters of guest and host",
    ),
)
def sft_dataset(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step, sections = Step(context, store), settings.sections

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        pairs = inputs[PARSED_PAIRS]
        persona = str(pairs.metadata["persona"])
        template = sections.chat.persona_prompt or WORDS[lang_of_pairs(pairs.path / PAIRS)].persona
        prompt = system_prompt(template, persona)
        samples = folder / SAMPLES
        held_out = HeldOut.load(inputs[HELD_OUT_SPLIT].file(HELD_OUT)).dates
        version, report = write_samples(
            pairs.path / PAIRS, sections.sft, held_out.keys(), prompt, samples, step.progress("broadcasts")
        )
        metadata: Metadata = {
            "rows": report.n_train + report.n_held_out,
            "persona": persona,
            "persona_prompt": template,
            "system_prompt": prompt,
            **numbers(report),
            "samples": sample_table(samples),
        }
        return Built(metadata, version)

    return step.publish(build)


@dg.asset(
    deps=[PARSED_PAIRS, HELD_OUT_SPLIT],  # where the model is the embedded one
    description="A small Qwen2 with its own tokenizer, built from the corpus: a toy that shows the machinery."
    "\n\n基座模型。",
    group_name="training",
    kinds={"pytorch"},
    owners=OWNERS,
    pool="gpu",
)
def base_model(
    context: dg.AssetExecutionContext,
    pipes: dg.PipesSubprocessClient,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
) -> dg.MaterializeResult[None]:
    step, base = Step(context, store), settings.sections.base

    def fit(pairs: Path, held_out: Collection[str], folder: Path) -> tuple[Metadata, Collection[str]]:
        order = {
            "task": "base",
            "pairs": str(pairs),
            "base": base.model_dump(mode="json"),
            "held_out": sorted(held_out),
            "system": WORDS[lang_of_pairs(pairs)].neutral_system,
            "out": str(folder),
        }
        report = ordered(context, pipes, settings, order)
        return plain(report), report["transcripts"]

    return make_model(step, settings, "language model", base, fit)


@dg.asset(
    deps=[BASE_MODEL, SFT_DATASET],
    description="The LoRA adapter in PEFT's format, with the log of its training. It is trained in a process of its "
    "own and goes on from its last checkpoint after a crash.\n\nLoRA 适配器。",
    group_name="training",
    kinds={"pytorch", "huggingface"},
    owners=OWNERS,
    pool="gpu",
)
def lora_adapter(
    context: dg.AssetExecutionContext,
    pipes: dg.PipesSubprocessClient,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
) -> dg.MaterializeResult[None]:
    step, sections = Step(context, store), settings.sections

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        work = store.home / LORA_ADAPTER / f"{WORK}{step.recipe().id}"  # found again after a crash
        order = {
            "task": "adapter",
            "base": str(model_folder(inputs[BASE_MODEL])),
            **_base_as_named(store, inputs[BASE_MODEL]),
            "samples": str(inputs[SFT_DATASET].path / SAMPLES),
            "lora": sections.lora.model_dump(mode="json"),
            "quantize": resolve_quantize(sections.base.quantize, sections.chat.device),  # as in the recipe
            "device": sections.chat.device,
            "left_out": sorted(_seen_by_the_judged(store, inputs[BASE_MODEL], inputs[SFT_DATASET])),
            "home": str(store.home),
            "work": str(work),
            "out": str(folder),
        }
        report = ordered(context, pipes, settings, order)
        shutil.rmtree(work, ignore_errors=True)
        learnt = {name: file_sha256(folder / name) for name in ("adapter_model.safetensors", "adapter_config.json")}
        return Built(training_metadata(report, folder), hash_of(learnt))  # the picture of the loss doesn't count

    return step.publish(build)


def _base_as_named(store: Store, base: Artifact) -> dict[str, str]:
    """What adapter_config.json calls the base, so that plain PEFT finds it, and no path of this machine is in it.

    One of the Hub by id and commit. One that was built here by its place under the home: PEFT takes that from the working
    folder, so it loads where that is the home. A folder of the user's as hcf.toml names it, an absolute one by its name.
    """
    source = model_source(base)
    if source.source == "embedded":
        return {"base_name": model_folder(base).relative_to(store.home).as_posix(), "base_revision": ""}
    if source.source == "hub":
        return {"base_name": source.model, "base_revision": source.revision}
    given = Path(source.model)
    is_local = given.is_absolute() or source.model.startswith("~")
    return {"base_name": given.name if is_local else given.as_posix(), "base_revision": ""}


def _seen_by_the_judged(store: Store, base: Artifact, samples: Artifact) -> Collection[str]:
    """Held-out transcripts that the base has seen, or that the samples hold under another name."""
    held_out = HeldOut.load(made_from(store, samples, [HELD_OUT_SPLIT]).file(HELD_OUT)).dates
    records = [samples.file(f"{SAMPLES}/{FITTED_ON}")]
    if FITTED_ON in base.files:  # a snapshot saw none of ours
        records.append(base.file(FITTED_ON))
    pairs = read_pairs(made_from(store, samples, [PARSED_PAIRS]).path / PAIRS, held_out.keys())
    return seen_transcripts(records, ((path, found) for path, _, found in pairs))
