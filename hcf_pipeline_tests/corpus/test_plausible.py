"""Whether a corpus is read the way it is written: the one judgement of init, check and refresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.plausible import Reading, total, worst_of
from hcf_pipeline.corpus.survey import survey
from hcf_pipeline.corpus.tables import REPORT, TurnReport, write_turn_table
from hcf_pipeline.corpus.transcript import parse_transcript
from hcf_pipeline.errors import CorpusError
from hcf_pipeline.settings import CorpusSettings

SETTINGS = CorpusSettings(host_labels=["甲"], guest_labels=["乙"])
PROSE = "这是一段没有写明是谁说的文字，一句接着一句。\n"
TALK = "乙：修吗？\n甲：修，三块钱。\n"


def reading(text: str, settings: CorpusSettings = SETTINGS) -> Reading:
    return Reading.of(parse_transcript(text, Grammar(settings)))


def test_text_that_nobody_is_named_for_counts_against_a_reading_and_words_with_a_speaker_for_it() -> None:
    found = reading(PROSE * 9 + TALK)
    assert found == Reading(n_spoken=9, n_nobodys=9 * (len(PROSE) - 1), n_neighbours=1, n_changes=1)
    assert found.is_implausible() and not reading(TALK * 9 + PROSE).is_implausible()
    assert not found.is_implausible(min_spoken=0)


@pytest.mark.parametrize(
    "around",
    [
        "# 一个很长的标题，比下面说的话长得多得多，说的是今天要讲什么\n" * 20,
        "| 时间 | 说的是什么 | 还有一些别的很长的内容 |\n" * 40,
        "```\n" + "print('很长的一段代码，不是谁说的话')\n" * 40 + "```\n",
        "---\n" + "title: 一个很长的标题\n" * 40 + "---\n",
        "![图](https://example.org/a-very-long-address-of-a-picture.png)\n" * 40,
        "<!-- " + "一段很长的注释 " * 100 + "-->\n",
    ],
)
def test_what_stands_around_a_dialogue_and_is_no_speech_counts_for_nothing(around: str) -> None:
    assert reading(around + TALK) == reading(TALK)


def test_hundreds_of_other_speakers_are_somebody_whether_they_are_set_or_strangers() -> None:
    other = "".join(f"**路人{chr(0x4E00 + n)}：** 我是另外一个人，也说一句很长很长的话。\n" for n in range(300))
    for settings in (SETTINGS, SETTINGS.model_copy(update={"other_labels": ["老魏"]})):
        found = reading(TALK + other.replace("路人", "老魏") + TALK, settings)
        assert found.spoken_share == 1.0 and not found.is_doubtful(is_monologue=False)
    cues = "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n<v 丙>我是另外一个人\n\n" for n in range(1, 9))
    assert reading("WEBVTT\n\n" + cues + "00:00:10.000 --> 00:00:11.000\n<v 甲>好\n").spoken_share == 1.0


def test_lines_in_doubt_and_cues_without_a_speaker_are_nobodys() -> None:
    assert reading(TALK + "老魏：我插一句话。\n后面还有一行。\n" * 9).is_implausible()
    cues = "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n没有写明是谁说的\n\n" for n in range(1, 9))
    assert reading(cues + "9\n00:00:10,000 --> 00:00:11,000\n甲：好\n").is_implausible()


def test_a_monologue_is_plausible_and_sides_that_never_alternate_are_only_doubtful() -> None:
    alone = reading("甲：今天说说收音机。\n" * 30)
    assert not alone.is_implausible() and not alone.is_doubtful(is_monologue=True)
    assert alone.is_doubtful(is_monologue=False)
    assert not Reading().is_implausible() and not Reading().is_doubtful(is_monologue=False)


def test_the_transcript_to_look_at_is_the_one_with_most_text_that_is_nobodys() -> None:
    assert worst_of({"a": Reading(90, 10), "b": Reading(0, 11), "c": Reading(5, 0)}) == "b"
    assert worst_of({"a": Reading(90, 0)}) == worst_of({}) == ""


def test_a_table_that_is_brought_up_to_date_sums_as_one_that_is_written_whole(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for n in range(1, 6):
        (corpus / f"2024-01-0{n}.md").write_text(TALK * n + "老魏：插一句\n" * (n % 2), encoding="utf-8")

    def table(name: str, previous: Path | None = None) -> tuple[str, TurnReport]:
        (tmp_path / name).mkdir()
        found = write_turn_table(scan(corpus, SETTINGS), Grammar(SETTINGS), tmp_path / name, previous=previous)
        assert TurnReport.load(tmp_path / name / REPORT) == found[1]
        return found

    table("first")
    (corpus / "2024-01-01.md").unlink()
    (corpus / "2024-01-02.md").write_text(PROSE * 50 + TALK, encoding="utf-8")
    updated, whole = table("updated", tmp_path / "first"), table("whole")
    assert updated == whole
    assert (
        whole[1].reading == total(reading(file.read_text(encoding="utf-8")) for file in corpus.iterdir())
        and whole[1].worst == "2024-01-02.md"
    )


def test_a_table_whose_notes_have_no_reading_is_brought_up_to_date_and_says_what_is_known(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "2024-01-01.md").write_text(TALK, encoding="utf-8")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    version, _ = write_turn_table(scan(corpus, SETTINGS), Grammar(SETTINGS), tmp_path / "old")
    file = tmp_path / "old" / "turns" / "table.json"
    text = file.read_text(encoding="utf-8")
    assert '"reading"' in text
    file.write_text(text.replace('"reading"', '"was not there"'), encoding="utf-8")
    again, report = write_turn_table(
        scan(corpus, SETTINGS), Grammar(SETTINGS), tmp_path / "new", previous=tmp_path / "old"
    )
    assert report.reading is None and again == version, "how it was read is no part of what was read"
    report.save(tmp_path / REPORT)
    assert TurnReport.load(tmp_path / REPORT) == report


def test_init_stops_for_prose_and_not_for_a_long_table(tmp_path: Path) -> None:
    file = tmp_path / "2024-01-01.md"
    file.write_text("| 很长的一张表 | 和里面的数 |\n" * 200 + TALK * 4, encoding="utf-8")
    assert survey(tmp_path).reading.spoken_share == 1.0
    file.write_text(PROSE * 60 + TALK * 4, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"2024-01-01\.md.*min_spoken = 0"):
        survey(tmp_path)
