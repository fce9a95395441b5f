"""Tables of examples for the UI. Transcripts are data: what could be markup is taken out of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from hcf_pipeline.few import and_more
from hcf_pipeline.store import Markdown
from hcf_pipeline.text import clock, visible

CELL_CHARS = 120
N_SAMPLES = 3


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], n: int | None = None) -> Markdown:
    """All rows, or the first n and how many more there are."""
    rows = list(rows)
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    lines += [f"| {' | '.join(cell(str(value)) for value in row)} |" for row in rows[:n]]
    if n is not None and len(rows) > n:
        lines.append(f"\n… {and_more(len(rows) - n, 'en').strip()}")
    return Markdown("\n".join(lines))


def cell(text: str) -> str:
    flat = visible(" ".join(text.split())).replace("|", "¦").replace("<", "‹").replace("`", "'").replace("](", "] (")
    return flat if len(flat) <= CELL_CHARS else flat[: CELL_CHARS - 1] + "…"


def place(start_s: float | None, link: str | None) -> str:
    """A time beside a citation, and where it opens: an address that cannot end the markup it stands in."""
    time = "" if start_s is None else f" {clock(start_s)}"
    if link is None:
        return time
    return f"{time} [↗]({link.translate({ord(c): quote(c, safe='') for c in '()<>|'})})"


def sample_table(samples: Path) -> Markdown:
    """The first exchange of the longest of the first training samples."""
    from datasets import load_from_disk

    train = load_from_disk(str(samples))["train"]
    rows = train.select(range(min(200, len(train)))).to_list()
    rows.sort(key=lambda row: -row["n_chars"])
    shown = [
        (row["transcript"], row["messages"][1]["content"], row["messages"][2]["content"]) for row in rows[:N_SAMPLES]
    ]
    return table(("broadcast", "guest", "host"), shown)
