"""What `hcf check` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "bad"]  # bad: a refresh would stop


@dataclass(frozen=True)
class Finding:
    name: str
    verdict: Verdict
    text: str
