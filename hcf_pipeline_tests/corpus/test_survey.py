"""What `hcf init` makes of a folder: the form, the sides, the days, and what it will not write."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.survey import survey
from hcf_pipeline.corpus.tables import UNKNOWN_ENCODING, read_bytes
from hcf_pipeline.corpus.transcript import Transcript
from hcf_pipeline.errors import CorpusError
from hcf_pipeline.settings import CorpusSettings
from hcf_pipeline_tests.corpus.forms.test_forms import ASS_NAMES, SRT, VTT, WITH_TIMES, WITHOUT_TIMES, written


def sides(folder: Path, host: str | None = None) -> dict[str, list[tuple[str, str]]]:
    """(side, label) of each turn of each file, as the settings read it that are written for the folder."""
    settings = CorpusSettings.model_validate(tomllib.loads(survey(folder, host).toml("x"))["corpus"])
    found = {}
    for file in sorted(folder.iterdir()):
        transcript = read_bytes(file.read_bytes(), file.name, Grammar(settings))
        assert isinstance(transcript, Transcript), file
        found[file.name] = [(turn.side, turn.label) for turn in transcript.turns]
    return found


EXPECTED = [("guest", "Bob"), ("host", "Ann Lee")] * 2


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        *(("md", written(line)) for name, line in (WITHOUT_TIMES | WITH_TIMES).items() if "role" not in name),
        ("srt", SRT), ("vtt", VTT), ("ass", ASS_NAMES), ("TXT", written("{l}: {x}\n")),
    ],
)  # fmt: skip
def test_the_settings_that_are_written_read_every_turn_with_its_side(tmp_path: Path, ending: str, text: str) -> None:
    for n in range(1, 5):
        (tmp_path / f"talk {n}.{ending}").write_text(text.replace("\r", ""), encoding="utf-8")
    assert sides(tmp_path) == {f"talk {n}.{ending}": EXPECTED for n in range(1, 5)}


def test_several_forms_and_encodings_in_one_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(SRT, encoding="utf-8")
    (tmp_path / "b.md").write_text(written("**{l}:** {x}\n") * 2, encoding="utf-16")
    (tmp_path / "c.txt").write_text(written("{l}  {t}\n{x}\n"), encoding="gb18030")
    found = survey(tmp_path)
    assert sides(tmp_path) == {"a.srt": EXPECTED, "b.md": EXPECTED * 2, "c.txt": EXPECTED}
    assert found.form == "auto" and set(found.forms) == {"subtitles", "label", "name_time"}


def test_front_matter_words_and_times_are_no_labels(tmp_path: Path) -> None:
    for n in range(1, 6):
        text = f"---\ntitle: Talk {n}\ndate: 2024-03-0{n}\n---\n听众：好吗？\n小禾：好的，好的。\n注意：慢。\n比分3：2\n下午12：30开播\n"
        (tmp_path / f"第{n}期.md").write_text(text * 1 + "听众：再问？\n小禾：再答一次，好的。\n", encoding="utf-8")
    found = survey(tmp_path)
    assert (found.host, found.guests, found.n_dated) == ("小禾", ["听众"], 5)


def test_many_guests_are_whoever_is_not_the_host(tmp_path: Path) -> None:
    for n in range(20):
        text = f"**Guest {chr(65 + n)}:** Hello there.\n\n**Ann:** Hello, and welcome to the show of today.\n\n" * 2
        (tmp_path / f"{n}.md").write_text(text, encoding="utf-8")
    found = survey(tmp_path)
    assert found.host == "Ann" and found.anybody and 'guest_labels = ["*"]' in found.toml("x")
    assert set(sides(tmp_path)["7.md"]) == {("guest", "Guest H"), ("host", "Ann")}


def test_who_is_the_host_may_be_said_and_is_one_of_those_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(written("{l}: {x}\n") * 2, encoding="utf-8")
    assert survey(tmp_path).host == "Ann Lee" and survey(tmp_path, "Bob").host == "Bob"
    with pytest.raises(CorpusError, match=r"Nobody .* is called Carl; found: Ann Lee"):
        survey(tmp_path, "Carl")


def test_a_monologue_has_no_guests(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("小禾：今天说说收音机。\n后来修好了。\n" * 4, encoding="utf-8")
    found = survey(tmp_path)
    assert found.guests == [] and "guest_labels = []" in found.toml("x")


def test_where_most_of_the_text_is_nobodys_nothing_is_written(tmp_path: Path) -> None:
    prose = "A long page of prose that no one is named for, sentence after sentence.\n" * 60
    (tmp_path / "a.md").write_text(prose + written("{l}: {x}\n") * 2, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"of the text .* has a speaker .*hcf turns"):
        survey(tmp_path)


def test_what_is_not_read_is_said_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(written("{l}: {x}\n") * 2, encoding="utf-8")
    (tmp_path / "broken.md").write_bytes(written("{l}: {x}\n").encode() + "好".encode() * 9 + b"\xff")
    (tmp_path / "talk.docx").write_bytes(b"PK")
    found = survey(tmp_path)
    assert found.without_turns == (("broken.md", UNKNOWN_ENCODING),) and found.other_endings == ((".docx", 1),)


def test_one_file_may_tell_which_number_before_the_year_is_the_month(tmp_path: Path) -> None:
    for name in ("03.05.2024.md", "03.25.2024.md"):
        (tmp_path / name).write_text(written("{l}: {x}\n"), encoding="utf-8")
    found = survey(tmp_path)
    assert found.date_order == "month" and 'date_order = "month"' in found.toml("x") and found.n_dated == 2


def test_the_times_of_a_chat_may_tell_too(tmp_path: Path) -> None:
    for n, day in enumerate(("03/05/24", "03/25/24")):
        text = written("[" + day + ", {t}] {l}: {x}\n")
        (tmp_path / f"chat {chr(97 + n)}.txt").write_text(text, encoding="utf-8")
    found = survey(tmp_path)
    assert found.date_order == "month" and found.n_dated == 2


def talk(host: str, guest: str, n: int = 4) -> str:
    return "".join(f"{guest}: question {m}?\n\n{host}: a long answer, number {m}.\n\n" for m in range(n))


def test_the_host_by_his_first_name_misspelt_or_by_initials_is_the_host(tmp_path: Path) -> None:
    texts = {
        "1.md": talk("Johanna Bergstrom", "Carl Diaz") * 3,
        "2.md": talk("Johanna", "Carl"),
        "3.md": talk("Johanna Bergstroom", "Carl Diaz"),
        "4.md": "Johanna Bergstrom (JB): hello\n\nCarl Diaz (CD): hello\n\n" + talk("JB", "CD"),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = survey(tmp_path)
    assert found.host == "Johanna Bergstrom" and set(found.also) == {"Johanna", "Johanna Bergstroom", "JB"}
    assert found.labels[0][1] == 12 + 4 + 4 + 5
    assert all(
        [side for side, _ in turns] == ["guest", "host"] * (len(turns) // 2)
        for name, turns in sides(tmp_path).items()
        if name != "4.md"
    )


@pytest.mark.parametrize(
    "other",
    [
        talk("Johanna", "Johanna Bergstrom"),  # both in one file
        talk("Johanna", "Carl") + talk("Johanna Winter", "Carl"),  # which of the two?
        talk("Johanna Bergstrum", "Carl"),  # another letter is another name
        talk("Speaker 1", "Johanna Bergstrom"),
    ],
    ids=["in one file", "a namesake", "another name", "a number"],
)
def test_whoever_may_be_somebody_else_stays_somebody_else(tmp_path: Path, other: str) -> None:
    (tmp_path / "1.md").write_text(talk("Johanna Bergstrom", "Speaker 2") * 9, encoding="utf-8")
    (tmp_path / "2.md").write_text(other, encoding="utf-8")
    found = survey(tmp_path)
    assert found.host == "Johanna Bergstrom" and found.also == ()
