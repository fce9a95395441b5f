"""The release that the chat model serves, and three answers from it to look at."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from hcf_pipeline.asset_names import (
    BASE_MODEL,
    CHUNK_EMBEDDINGS,
    CHUNK_TABLE,
    ENCODER_MODEL,
    FAISS_INDEX,
    LORA_ADAPTER,
    PARSED_PAIRS,
    RELEASE,
    RETRIEVAL_SCORECARD,
    SFT_DATASET,
    TURN_TABLE,
)
from hcf_pipeline.chat.release import ADAPTER_CORPUS, INDEX_CORPUS, Release, made_from, moved_pins, pin
from hcf_pipeline.corpus.questions import asked_in_corpus
from hcf_pipeline.corpus.tables import PAIRS, REPORT, TurnReport
from hcf_pipeline.defs.publishing import OWNERS, Step
from hcf_pipeline.defs.resources import ChatModel
from hcf_pipeline.defs.samples import N_SAMPLES, cell
from hcf_pipeline.gates import GATES, judge, refuse
from hcf_pipeline.models import model_source
from hcf_pipeline.settings import EMBEDDED, Settings
from hcf_pipeline.store import Artifact, Built, Markdown, Metadata, Store

NOTHING_ASKED = (
    "文稿里没有一问一答，所以没有可以拿来试答的问题。There is no pair in the corpus, so no question to answer."
)


@dg.asset(
    deps=[LORA_ADAPTER, FAISS_INDEX, RETRIEVAL_SCORECARD],
    description="One adapter and one index, pinned with the corpus snapshot of each and with checksums. The chat "
    "model serves this and nothing else.\n\n对外服务的版本：一个适配器配一个索引。",
    group_name="serving",
    kinds={"json"},
    owners=OWNERS,
    pool="release",
)
def release(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        adapter, index = inputs[LORA_ADAPTER], inputs[FAISS_INDEX]
        made_of = {LORA_ADAPTER: adapter, FAISS_INDEX: index}
        base = made_from(store, adapter, [BASE_MODEL])
        samples = made_from(store, adapter, [SFT_DATASET])
        turns = made_from(store, index, [CHUNK_TABLE, TURN_TABLE])
        made_of |= {TURN_TABLE: turns, RETRIEVAL_SCORECARD: inputs[RETRIEVAL_SCORECARD]}
        refuse({gate: judge(gate, made_of[gate.asset], store, settings) for gate in GATES})
        made = Release(
            toy=model_source(base).source == EMBEDDED,
            persona=str(samples.metadata["persona"]),
            persona_prompt=str(samples.metadata["persona_prompt"]),
            host_labels=tuple(TurnReport.load(turns.file(REPORT)).host_labels),
            adapter=pin(adapter),
            adapter_corpus=made_from(store, adapter, ADAPTER_CORPUS).version,
            base=pin(base),
            index=pin(index),
            index_corpus=made_from(store, index, INDEX_CORPUS).version,
            encoder=pin(made_from(store, index, [CHUNK_EMBEDDINGS, ENCODER_MODEL])),
            turns=pin(turns),
        )
        made.save(folder)
        metadata: Metadata = {
            "persona": made.persona,
            "adapter": made.adapter.version,
            "adapter_corpus": made.adapter_corpus,
            "index": made.index.version,
            "index_corpus": made.index_corpus,
            "toy": str(made.toy),
        }
        return Built(metadata, made.id)

    step = Step(context, store)
    kept = step.previous()
    return step.publish(build, reuse=kept is None or not moved_pins(store, kept))


@dg.asset(
    deps=[RELEASE, PARSED_PAIRS],
    description="Three questions that were asked in the corpus, answered by the released chat model with citations."
    "\n\n三个带出处的回答。",
    group_name="serving",
    kinds={"markdown"},
    owners=OWNERS,
)
def sample_answers(
    context: dg.AssetExecutionContext, chat_model: ChatModel, store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[None]:
    step = Step(context, store)

    def build(inputs: Mapping[str, Artifact], folder: Path) -> Built:
        shown: list[str] = []
        for n, question in enumerate(asked_in_corpus(inputs[PARSED_PAIRS].path / PAIRS, N_SAMPLES), 1):
            step.context.log.info(f"[{n}/{N_SAMPLES}] {question}")
            answer = chat_model.answer(question)
            quotes = [f"> {cell(quote.text)} [{quote.n}]" for quote in answer.quotes]
            sources = [
                f"[{c.n}] {c.date or '?'} `{cell(c.transcript)}` {c.turns[0]}–{c.turns[1]}" for c in answer.citations
            ]
            shown.append("\n\n".join([f"**{cell(question)}**", *quotes, cell(answer.text), *sources]))
        text = Markdown("\n\n---\n\n".join(shown) or NOTHING_ASKED)
        (folder / "answers.md").write_text(text, encoding="utf-8")
        return Built({"questions": len(shown), "answers": text})

    return step.publish(build)
