"""The number of an episode orders what has no date."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.episodes import episode_of
from hcf_pipeline.corpus.held_out import held_out_transcripts


@pytest.mark.parametrize(
    "path",
    [
        "第12期.md", "第 12 期 聊聊装修.md", "第十二集.srt", "第12回/讲稿.md", "ep12.md", "EP 12 - A talk.txt", "Episode 12.md",
        "talk-e12.md", "#12 Modules.md", "vol.12.md", "No. 12.md", "Bitcoin, Explained 12.md", "go-time-12.md", "012 A talk.md",
        "12.md", "show/ep_12.vtt", "Ep.12 with 3 guests.md",
    ],
)  # fmt: skip
def test_a_number_is_found_however_it_is_written(path: str) -> None:
    assert episode_of(path) == (0, 12)


@pytest.mark.parametrize(
    "path", ["S02E05.md", "s2e5 - A talk.md", "Season 2/ep 5.md", "第二季/第5集.md", "S02/05.md", "2x/S2 Ep5.md"]
)
def test_a_season_goes_before_the_number(path: str) -> None:
    assert episode_of(path) == (2, 5)


@pytest.mark.parametrize("path", ["notes.md", "a talk with Ann.md", "Web3 today.md", "the 12 apostles.md", "第几期.md"])
def test_what_says_no_number_has_none(path: str) -> None:
    assert episode_of(path) is None


@pytest.mark.parametrize(
    ("written", "number"), [("一百零五", 105), ("二十", 20), ("十", 10), ("两百三十一", 231), ("二〇五", 205)]
)
def test_chinese_numbers_are_read(written: str, number: int) -> None:
    assert episode_of(f"第{written}期.md") == (0, number)


@pytest.mark.parametrize("name", ["ep{}.md", "第{}期.md", "go-time-{}.md", "{} A talk.md"])
def test_the_latest_episodes_are_held_out_where_nothing_has_a_date(name: str) -> None:
    """By name alone ep9 would be the last of twenty."""
    paths = {name.format(n): None for n in range(1, 21)} | {"a talk.md": None}
    assert held_out_transcripts(paths, 0.1) == {name.format(20), name.format(19)}
    seasons = {f"S{season:02}E{n:02}.md": None for season in (1, 2) for n in range(1, 11)}
    assert held_out_transcripts(seasons, 0.05) == {"S02E10.md"}


@given(st.text(max_size=40))
def test_any_path_has_an_episode_or_none(path: str) -> None:
    found = episode_of(path)
    assert found is None or (found.season >= 0 and found.number >= 0)
