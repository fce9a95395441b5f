from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.sft.split import held_out_transcripts, sampled_transcripts


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
    held_out = held_out_transcripts(dates, share)
    kept_days = {day for path, day in dates.items() if path not in held_out and day}
    for path in held_out:
        day = dates[path]
        assert day is not None
        assert all(day > kept for kept in kept_days)
    if share > 0 and len({day for day in dates.values() if day}) >= 2:
        assert held_out
        assert kept_days


@given(st.sets(st.text(min_size=1, max_size=5), min_size=1, max_size=30), st.floats(min_value=0.01, max_value=1))
def test_a_sampled_broadcast_stays_sampled_whatever_is_added(paths: set[str], ratio: float) -> None:
    before = sampled_transcripts(paths, ratio, 42)
    after = sampled_transcripts(paths | {"新的.md"}, ratio, 42)
    assert before
    if len(before) > 1:
        assert before <= after


def test_the_sample_is_about_the_ratio_and_follows_the_seed() -> None:
    paths = [f"{i}.md" for i in range(1000)]
    chosen = sampled_transcripts(paths, 0.2, 42)
    assert 150 < len(chosen) < 250
    assert chosen == sampled_transcripts(reversed(paths), 0.2, 42)
    assert chosen != sampled_transcripts(paths, 0.2, 43)
    assert sampled_transcripts(paths, 1.0, 42) == set(paths)
