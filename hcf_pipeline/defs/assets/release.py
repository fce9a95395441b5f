"""The release that the chat model serves, and three answers from it to look at."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import dagster as dg

from hcf_pipeline.asset_names import (
    CHUNK_TABLE,
    FAISS_INDEX,
    LORA_ADAPTER,
    PARSED_PAIRS,
    RELEASE,
    RETRIEVAL_SCORECARD,
    TURN_TABLE,
)
from hcf_pipeline.chat.hold import hold_on, refuse_while_held
from hcf_pipeline.chat.making import release_of
from hcf_pipeline.chat.release import made_from
from hcf_pipeline.chat.releases import moved_pins
from hcf_pipeline.corpus.questions import asked_in_corpus
from hcf_pipeline.corpus.tables import PAIRS
from hcf_pipeline.defs.publishing import OWNERS, Step
from hcf_pipeline.defs.samples import N_SAMPLES, cell, place
from hcf_pipeline.gates import GATES, judge, refuse
from hcf_pipeline.settings import Settings
from hcf_pipeline.store import Artifact, Built, Markdown, Metadata, Store
from hcf_pipeline.text import one_line

SEED = 1  # of the sampled words, where [chat] sets none: the same release gives the same answers
NOTHING_ASKED = (
    "文稿里没有一问一答，所以没有可以拿来试答的问题。There is no pair in the corpus, so no question to answer."
)


@dg.asset(
    deps=[LORA_ADAPTER, FAISS_INDEX, RETRIEVAL_SCORECARD],
    description="One index and one adapter (none where nothing was trained), pinned with the corpus snapshot of each, with "
    "checksums, and with every setting that changes an answer. The chat model serves this and nothing else."
    "\n\n对外服务的版本：一个索引配一个适配器，连同影响回答的设置。",
    group_name="serving",
    kinds={"json"},
    owners=OWNERS,
    pool="release",
)
def release(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    def wanted_adapter(inputs: Mapping[str, Artifact]) -> Artifact | None:
        """A hold may name one that nobody wants any more."""
        return inputs.get(LORA_ADAPTER) if settings.sections.lora.enabled else None

    def admit(inputs: Mapping[str, Artifact]) -> None:
        """Also what was made before is asked for: since then the corpus, or the questions, may have changed."""
        refuse_while_held(store)
        judged = {name: inputs[name] for name in (FAISS_INDEX, RETRIEVAL_SCORECARD)}
        if adapter := wanted_adapter(inputs):
            judged[LORA_ADAPTER] = adapter
        judged[TURN_TABLE] = made_from(store, inputs[FAISS_INDEX], [CHUNK_TABLE, TURN_TABLE])
        refuse({gate: judge(gate, judged[gate.asset], store, settings) for gate in GATES if gate.asset in judged})

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        made = release_of(store, settings, inputs[FAISS_INDEX], wanted_adapter(inputs), inputs[RETRIEVAL_SCORECARD])
        made.save(folder)
        held = hold_on(store)
        metadata: Metadata = {
            "persona": made.persona,
            **{name: pinned.version for name, pinned in made.parts.items()},
            **{f"{name}_corpus": root for name, root in made.corpora.items()},
            "toy": str(made.toy),
            **({"held": held.names} if held else {}),
        }
        return Built(metadata, made.id)

    step = Step(context, store)
    kept = step.previous()
    return step.publish(build, reuse=kept is None or not moved_pins(store, kept), admit=admit)


@dg.asset(
    deps=[RELEASE, PARSED_PAIRS],
    description="Three questions that were asked in the corpus, answered by this very release with citations."
    "\n\n三个带出处的回答。",
    group_name="serving",
    kinds={"markdown"},
    owners=OWNERS,
)
def sample_answers(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step = Step(context, store)

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        from hcf_pipeline.chat.engine import engine_of

        shown: list[str] = []
        with closing(engine_of(store, settings, inputs[RELEASE], seed=SEED)) as engine:
            for n, question in enumerate(asked_in_corpus(inputs[PARSED_PAIRS].path / PAIRS, N_SAMPLES), 1):
                step.context.log.info(f"[{n}/{N_SAMPLES}] {one_line(question)}")  # logs are shown in terminals
                answer = engine.answer(question)
                quotes = [
                    f"> **{cell(q.label)}** {cell(q.text)} [{q.n}] {q.date or '?'} `{cell(q.transcript)}` {q.turn}"
                    f"{place(q.start_s, q.link)}"
                    for q in answer.quotes
                ]
                sources = [
                    f"[{c.n}] {c.date or '?'} `{cell(c.transcript)}` {c.turns[0]}–{c.turns[1]}{place(c.start_s, c.link)}"
                    for c in answer.citations
                ]
                shown.append("\n\n".join([f"**{cell(question)}**", *quotes, cell(answer.text), *sources]))
        text = Markdown("\n\n---\n\n".join(shown) or NOTHING_ASKED)
        (folder / "answers.md").write_text(text, encoding="utf-8")
        return Built({"questions": len(shown), "answers": text})

    return step.publish(build)
