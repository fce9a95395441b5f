from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.sft.split import sampled_transcripts


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
