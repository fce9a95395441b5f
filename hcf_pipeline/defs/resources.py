"""The chat model as a Dagster resource."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from hcf_pipeline.settings.file import load_settings

if TYPE_CHECKING:
    from hcf_pipeline.chat.answer import Answer
    from hcf_pipeline.chat.engine import Engine
    from hcf_pipeline.rag.search.hits import Hit


class ChatModel(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The newest release: base + adapter + retrieval.

    Dagster makes a new resource for every run; the weights are held by the process, once per release.
    """

    config: str = Field(description="the hcf.toml that it serves by")
    profile: str = Field(description="embedded, gte-base, qwen, qwen3, or one of hcf.toml's own")
    home: str = Field(description="the folder of artifacts and releases")

    @property
    def engine(self) -> Engine:
        """The engine of the release that is newest now. Raises NotReady before the first."""
        from hcf_pipeline.chat.engine import engine_for

        # a demo in an empty folder has none
        settings = load_settings(Path(self.config), profile=self.profile, home=Path(self.home), file_optional=True)
        return engine_for(settings)

    def answer(self, question: str) -> Answer:
        return self.engine.answer(question)

    def retrieve(self, question: str, k: int | None = None) -> list[Hit]:
        """The k best chunks (default [retrieval] top_k), best first."""
        return self.engine.retrieve(question, k)
