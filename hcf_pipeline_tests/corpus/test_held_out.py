from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.held_out import HELD_OUT, HeldOut, held_out_transcripts, hold_out
from hcf_pipeline.errors import ArtifactError
from hcf_pipeline_tests.corpus.test_fitted import broadcast, pair_table


def days(n: int) -> dict[str, date | None]:
    return {f"{i}.md": date(2024, 1, 1) + timedelta(days=i) for i in range(n)}


def test_the_newest_broadcasts_are_held_out() -> None:
    assert held_out_transcripts(days(40), 0.05) == {"38.md", "39.md"}


def test_files_of_one_day_stay_together() -> None:
    dates = days(20) | {"19-2.md": days(20)["19.md"]}
    assert held_out_transcripts(dates, 0.05) == {"19.md", "19-2.md"}


def test_at_least_one_day_is_held_out_and_one_is_left() -> None:
    assert held_out_transcripts(days(2), 0.05) == {"1.md"}
    assert held_out_transcripts(days(1), 0.5) == frozenset()
    assert held_out_transcripts(days(9), 0.0) == frozenset()


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.none() | st.dates(), max_size=30),
    st.floats(min_value=0, max_value=0.5),
)
def test_what_is_held_out_is_newer_than_what_is_kept_and_never_undated(
    dates: dict[str, date | None], share: float
) -> None:
    dates["dated"] = date(2024, 1, 1)  # in a corpus that has no date at all episodes are what counts
    held_out = held_out_transcripts(dates, share)
    kept_days = {day for path, day in dates.items() if path not in held_out and day}
    for path in held_out:
        day = dates[path]
        assert day is not None
        assert all(day > kept for kept in kept_days)
    if share > 0 and len({day for day in dates.values() if day}) >= 2:
        assert held_out
        assert kept_days


def test_the_split_of_a_table_is_written_with_its_dates_and_read_again(tmp_path: Path) -> None:
    corpus = {f"2024-01-{day:02}.md": broadcast(f"第{day}天") for day in range(1, 11)}
    corpus["2024-01-20.md"] = "甲：只有我在说。"  # no pair: on neither side
    split = hold_out(pair_table(tmp_path / "table", corpus), 0.2)
    assert split.dates == {"2024-01-09.md": date(2024, 1, 9), "2024-01-10.md": date(2024, 1, 10)}
    assert split.first_day == date(2024, 1, 9)
    split.save(tmp_path)
    assert HeldOut.load(tmp_path / HELD_OUT) == split


def test_the_split_of_a_table_without_dates_holds_out_its_latest_episodes(tmp_path: Path) -> None:
    corpus = {f"第{n}期.md": broadcast(f"第{n}期的事") for n in range(1, 21)}
    split = hold_out(pair_table(tmp_path / "table", corpus), 0.1)
    assert split.dates == {"第19期.md": None, "第20期.md": None} and split.first_day is None
    split.save(tmp_path)
    assert HeldOut.load(tmp_path / HELD_OUT) == split
    assert HeldOut({"第19期.md": None}, 0.1).version != split.version


def test_the_version_of_a_split_is_that_of_what_is_held_out_whatever_share_gave_it() -> None:
    day = date(2024, 1, 9)
    split = HeldOut({"a.md": day, "b.md": day}, 0.1)
    assert HeldOut({"b.md": day, "a.md": day}, 0.11).version == split.version
    assert HeldOut({"a.md": day}, 0.1).version != split.version
    assert HeldOut({"a.md": day, "b.md": date(2024, 1, 10)}, 0.1).version != split.version
    assert HeldOut({}, 0.0).first_day is None


@pytest.mark.parametrize("text", ["", "[]", '{"share": 0.1, "transcripts": {"a.md": "yesterday"}}', '{"share": 0.1}'])
def test_a_damaged_split_is_told_in_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / HELD_OUT).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"held_out\.json is missing or damaged"):
        HeldOut.load(tmp_path / HELD_OUT)
