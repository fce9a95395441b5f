"""Where there are thousands of labels or files, a person is shown a few and told how many more there are."""

from __future__ import annotations

from hcf_pipeline.cli.console import Invocation
from hcf_pipeline.cli.status import refusals
from hcf_pipeline.corpus.manifest import Refused
from hcf_pipeline.corpus.tables import TurnReport
from hcf_pipeline.defs.assets.corpus import _turn_metadata

LABELS = {f"路人{n}": 2 for n in range(50)}
REFUSED = [Refused(f"{n:05}.md", "not UTF-8", n) for n in range(10_000)]


def report(labels: dict[str, int], refused: list[Refused], n_more: int = 0) -> TurnReport:
    return TurnReport(1, 1, 1, 1, 0, 0, labels, {"甲": 1}, "", "", 0, refused, n_more)


def test_unknown_labels_in_dagsters_metadata_are_a_few_and_a_number() -> None:
    shown = str(_turn_metadata(report(LABELS, [], 950))["unknown_labels"])
    assert shown.startswith("路人0 (2), 路人1 (2)") and shown.endswith(" and 992 more") and len(shown) < 200
    assert _turn_metadata(report({"路人": 3}, []))["unknown_labels"] == "路人 (3)"
    assert _turn_metadata(report({}, []))["unknown_labels"] == "none"


def test_refused_files_in_dagsters_metadata_are_a_few_and_a_number() -> None:
    shown = str(_turn_metadata(report({}, REFUSED))["quarantined"])
    assert shown.count("\n") < 30 and "and 9980 more" in shown
    assert "more" not in str(_turn_metadata(report({}, REFUSED[:20]))["quarantined"])


def test_refused_files_in_a_terminal_are_a_few_lines_and_a_number() -> None:
    lines = list(refusals(Invocation("en", None, None, None), REFUSED))
    assert len(lines) == 21 and lines[0] == "quarantined: 00000.md (not UTF-8, at byte 0)"
    assert lines[-1].startswith("and 9980 more are quarantined")
