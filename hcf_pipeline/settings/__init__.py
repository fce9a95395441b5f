"""The settings: their typed sections (schema.py), the file they come from (file.py), and their reference (reference.py)."""

from hcf_pipeline.settings.corpus import ANYBODY, CorpusSettings
from hcf_pipeline.settings.schema import (
    EMBEDDED,
    BaseSettings,
    ChatSettings,
    ChunkSettings,
    EncoderSettings,
    HubSettings,
    LoraSettings,
    RefreshSettings,
    ReleaseSettings,
    RetrievalSettings,
    Sections,
    Settings,
    SftSettings,
)

__all__ = [
    "ANYBODY",
    "EMBEDDED",
    "BaseSettings",
    "ChatSettings",
    "ChunkSettings",
    "CorpusSettings",
    "EncoderSettings",
    "HubSettings",
    "LoraSettings",
    "RefreshSettings",
    "ReleaseSettings",
    "RetrievalSettings",
    "Sections",
    "Settings",
    "SftSettings",
]
