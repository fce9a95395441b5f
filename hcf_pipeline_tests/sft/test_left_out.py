"""Where nothing is left to learn from, one sentence says how many pairs there were and why it is none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.corpus.pairs import Pair
from hcf_pipeline.errors import DataError
from hcf_pipeline.settings import SftSettings
from hcf_pipeline.sft.left_out import SHORT, count_reasons, next_step, nothing_to_learn, reasons
from hcf_pipeline.sft.samples import write_samples
from hcf_pipeline_tests.sft.conftest import SFT, SYSTEM, MakePairs


def pair(host: str, flags: str = "") -> Pair:
    return Pair(1, "问？", host, "江照野", 1, 2, flags)


def test_a_corpus_without_a_pair_is_told_so_before_any_library_sees_it(make_pairs: MakePairs, tmp_path: Path) -> None:
    host_first = make_pairs({"2024-01-01.md": "江照野：今天聊搬家。\n\n水友：那我呢？"})
    with pytest.raises(DataError, match=r"There is no pair to learn from.*host_labels and guest_labels") as told:
        write_samples(host_first, SFT, (), SYSTEM, tmp_path / "samples")
    assert "没有一问一答" in told.value.zh
    assert not any(tmp_path.iterdir())


def test_every_reason_is_counted_and_the_commonest_has_its_next_step(make_pairs: MakePairs) -> None:
    damaged = "水友：在吗？\n\n江照野：在，你说。\n【API调用失败：402】\n\n水友：好？\n\n江照野：嗯"
    pairs = make_pairs(
        {"2024-01-01.md": damaged, "2024-01-02.md": damaged, "2024-01-03-INC.md": "水友：问？\n江照野：答到"}
    )
    told = nothing_to_learn(pairs, SftSettings())
    assert "Of 5 pairs none" in told.en
    assert "2 where [corpus] noise took something away" in told.en
    assert "2 with an answer shorter than [sft] min_host_chars" in told.en
    assert "1 at the end of an interrupted broadcast" in told.en
    assert "2 个被 [corpus] noise 去掉了内容" in told.zh and "1 个断在没播完的场次末尾" in told.zh


def test_usable_pairs_that_were_not_enough_are_named_and_noise_is_not_blamed(pairs: Path) -> None:
    told = nothing_to_learn(pairs, SFT)
    assert "Of 60 pairs none" in told.en and "60 held out, not sampled, or too few" in told.en
    assert "held_out_share" in told.en and "noise" not in told.en


def test_any_flag_leaves_a_pair_out_also_one_that_this_module_has_no_words_for() -> None:
    counts = count_reasons([pair("好的，可以。"), pair("好的，可以。", "some_new_flag"), pair("")], SFT)
    assert counts == {"used": 1, "some_new_flag": 1, SHORT: 1}


def test_the_commonest_reason_stands_first_and_has_the_next_step() -> None:
    counts = {"used": 9, SHORT: 1, "noise_removed": 3}
    assert reasons(counts, "en").startswith("3 where [corpus] noise took something away, 1 ")
    assert reasons(counts, "zh").startswith("3 个被 [corpus] noise 去掉了内容，1 个")
    assert next_step(counts, "en") == "check noise and lost_pattern of [corpus]"


def test_an_answer_of_just_the_length_that_is_asked_for_is_learnt() -> None:
    counts = count_reasons([pair("好"), pair("好的"), pair("好的。")], SftSettings(min_host_chars=2))
    assert counts == {"used": 2, SHORT: 1}


def test_where_nothing_is_left_out_there_is_nothing_to_say() -> None:
    counts = count_reasons([pair("好的，可以。")], SFT)
    assert (reasons(counts, "zh"), next_step(counts, "en")) == ("", "")
