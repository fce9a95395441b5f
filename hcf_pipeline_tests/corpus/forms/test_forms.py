"""Every way to write a dialogue that is read, made up: each turn with its side, its words and its second."""

from __future__ import annotations

import json

import pytest

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.transcript import UNKNOWN_LABEL, Transcript, parse_transcript
from hcf_pipeline.settings import CorpusSettings

SAID = [
    ("guest", "Bob", "How do you keep a chain clean?", 5),
    ("host", "Ann Lee", "With a dry rag, at 8:30 every day. See https://example.org/manual for more.", 17),
    ("guest", "Bob", "What did the shop cost?", 71),
    ("host", "Ann Lee", "Eleven thousand: heating not included.", 3723),
]
SETTINGS = CorpusSettings(host_labels=["Ann Lee"], guest_labels=["Bob"])
LONG = {"Bob": "热心网友小王同学今天又来提问了啊啊啊", "Ann Lee": "🐟老李（主播）·深夜频道·每天八点"}


def clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def short(second: int) -> str:
    return f"{second // 60:02}:{second % 60:02}"


WITHOUT_TIMES = {
    "half-width colon": "{l}: {x}\n",
    "full-width colon": "{l}：{x}\n\n",
    "bold, colon inside": "**{l}:** {x}\n\n",
    "bold, colon outside": "**{l}**: {x}\n\n",
    "bold, full-width colon": "**{l}：**{x}\n",
    "italics": "*{l}:* {x}\n\n",
    "underscores": "__{l}__: {x}\n\n",
    "strong tags": "<strong>{l}:</strong> {x}\n",
    "bullet": "- {l}: {x}\n",
    "bullet and bold": "* **{l}**: {x}\n",
    "quote mark": "> {l}: {x}\n\n",
    "quote mark and bold": "> **{l}:** {x}\n>\n",
    "number": "{n}. {l}: {x}\n",
    "number and parenthesis": "{n}) {l}：{x}\n",
    "black brackets": "【{l}】{x}\n",
    "black brackets and colon": "【{l}】：{x}\n",
    "square brackets": "[{l}] {x}\n",
    "square brackets and colon": "[{l}]: {x}\n",
    "angle brackets": "<{l}> {x}\n",
    "guillemets": "«{l}» {x}\n",
    "tab": "{l}\t{x}\n",
    "tab and empty lines": "{l}\t{x}\n\n",
    "role in brackets": "{l} (the one): {x}\n",
    "role in bold": "**{l}** (the one): {x}\n",
    "heading": "### {l}\n\n{x}\n\n",
    "heading in bold": "## **{l}**\n{x}\n",
    "name on a line of its own": "{l}\n{x}\n\n",
    "bold name on a line of its own": "**{l}**\n\n{x}\n\n",
    "label on a line of its own": "{l}:\nWell, {x}\n\n",
}
WITH_TIMES = {
    "time in brackets before": "[{t}] {l}: {x}\n",
    "time in parentheses before": "({t}) {l}：{x}\n\n",
    "time before bold": "{t} **{l}** {x}\n\n",
    "time before bold with colon": "[{t}] **{l}:** {x}\n\n",
    "time inside bold": "**[{t}] {l}:** {x}\n\n",
    "time behind the name": "{l} ({t}): {x}\n\n",
    "time in brackets behind the name": "{l} [{t}]: {x}\n",
    "time behind bold": "**{l}** ({t}): {x}\n",
    "time inside bold behind the name": "**{l} ({t}):** {x}\n",
    "header with colon": "{l} ({t}):\n{x}\n\n",
    "header whose time follows the colon": "{l}: {t}\n\n{x}\n\n",
    "name and time": "{l}  {t}\n{x}\n\n",
    "time and name": "{t} {l}\n{x}\n",
    "name and time in brackets": "{l} [{t}]\n{x}\n\n",
    "heading and time": "### {l} {t}\n\n{x}\n\n",
    "tab and time": "{t}\t{l}\t{x}\n",
    "range of times": "[{t} --> {t}] {l}: {x}\n",
}
CHATS = {
    "phone messenger": "[2024/3/5, {d}] {l}: {x}\n",
    "phone messenger with a dash": "05/03/2024, {d} - {l}: {x}\n",
    "desktop messenger": "{l} 2024/3/5 {d}\n{x}\n\n",
    "group messenger": "2024-03-05 {d} {l}\n{x}\n\n",
}


def written(line: str, names: dict[str, str] | None = None) -> str:
    rows = []
    for n, (_, label, text, second) in enumerate(SAID, 1):
        name = (names or {}).get(label, label)
        rows.append(line.format(l=name, x=text, n=n, t=clock(second), d=clock(second + 9 * 3600)))
    return "".join(rows)


def read(text: str, settings: CorpusSettings = SETTINGS) -> Transcript:
    return parse_transcript(text, Grammar(settings))


def rows(transcript: Transcript) -> list[tuple[str, str, str]]:
    return [(turn.side, turn.label, turn.text) for turn in transcript.turns]


EXPECTED = [(side, label, text) for side, label, text, _ in SAID]


@pytest.mark.parametrize("line", WITHOUT_TIMES.values(), ids=WITHOUT_TIMES.keys())
def test_each_turn_has_its_side_and_its_words(line: str) -> None:
    transcript = read(written(line))
    assert [(side, label, text.removeprefix("Well, ")) for side, label, text in rows(transcript)] == EXPECTED
    assert [turn.start_s for turn in transcript.turns] == [None] * 4 and not transcript.unknown_labels


@pytest.mark.parametrize("line", WITH_TIMES.values(), ids=WITH_TIMES.keys())
def test_each_turn_has_the_second_at_which_it_starts(line: str) -> None:
    transcript = read(written(line))
    assert rows(transcript) == EXPECTED
    assert [turn.start_s for turn in transcript.turns] == [5, 17, 71, 3723]


@pytest.mark.parametrize("line", CHATS.values(), ids=CHATS.keys())
def test_times_of_day_in_a_chat_count_from_its_first_message(line: str) -> None:
    transcript = read(written(line))
    assert rows(transcript) == EXPECTED
    assert [turn.start_s for turn in transcript.turns] == [0, 12, 66, 3718]


@pytest.mark.parametrize("line", ["{l}: {x}\n", "**{l}：** {x}\n", "【{l}】{x}\n", "{l}\t{x}\n", "{l} {t}\n{x}\n"])
def test_a_label_may_have_forty_characters_emoji_and_brackets(line: str) -> None:
    settings = CorpusSettings(host_labels=[LONG["Ann Lee"]], guest_labels=[LONG["Bob"]])
    assert rows(read(written(line, LONG), settings)) == [(side, LONG[label], text) for side, label, text, _ in SAID]


@pytest.mark.parametrize("pair", [("Q", "A"), ("问", "答"), ("Question", "Answer")])
def test_questions_and_answers_are_turns(pair: tuple[str, str]) -> None:
    settings = CorpusSettings(host_labels=[pair[1]], guest_labels=[pair[0]])
    names = {"Bob": pair[0], "Ann Lee": pair[1]}
    found = rows(read(written("{l}: {x}\n", names), settings))
    assert found == [(side, names[label], text) for side, label, text, _ in SAID]


SRT = "".join(
    f"{n}\n{clock(second)},250 --> {clock(second + 3)},000\n{label}: {text}\n\n"
    for n, (_, label, text, second) in enumerate(SAID, 1)
)
SRT_TAGGED = SRT.replace("Ann Lee:", "<b>Ann Lee:</b>").replace("\n", "\r\n")
VTT = "WEBVTT\n\nNOTE made up\n\n" + "".join(
    f"{clock(second)}.250 --> {clock(second + 3)}.000 align:start\n<v {label}>{text}</v>\n\n"
    for _, label, text, second in SAID
)
VTT_LABELS = "WEBVTT - a talk\n\n" + "".join(
    f"cue {n}\n{short(second)}.250 --> {short(second + 3)}.000\n{label}: {text}\n\n"
    for n, (_, label, text, second) in enumerate(SAID)
)
ASS = "[Script Info]\nTitle: made up\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
ASS_NAMES = ASS + "".join(
    f"Dialogue: 0,{clock(second)[1:]}.25,{clock(second + 3)[1:]}.00,Default,{label},0,0,0,,{{\\i1}}{text}\n"
    for _, label, text, second in SAID
)
ASS_LABELS = ASS + "".join(
    f"Dialogue: 0,{clock(second)[1:]}.25,{clock(second + 3)[1:]}.00,Default,,0,0,0,,{label}: {text}\n"
    for _, label, text, second in SAID
)


@pytest.mark.parametrize(
    ("text", "form"),
    [(SRT, "subtitles"), (SRT_TAGGED, "subtitles"), (VTT, "subtitles"), (VTT_LABELS, "subtitles"), (ASS_NAMES, "ass"), (ASS_LABELS, "ass")],
    ids=["srt", "srt with tags", "vtt with voices", "vtt with labels", "ass with names", "ass with labels"],
)  # fmt: skip
def test_subtitles_are_turns_with_times(text: str, form: str) -> None:
    transcript = read(text)
    assert (rows(transcript), transcript.form) == (EXPECTED, form)
    assert [turn.start_s for turn in transcript.turns] == [5.25, 17.25, 71.25, 3723.25]


def test_cues_of_one_speaker_that_follow_each_other_are_one_turn_and_those_without_one_are_nobodys() -> None:
    text = (
        "1\n00:00:01,000 --> 00:00:02,000\nBob: one\n\n2\n00:00:02,000 --> 00:00:03,000\nBob: two\n\n"
        "3\n00:00:03,000 --> 00:00:04,000\nwho says this?\n\n4\n00:00:04,000 --> 00:00:05,000\nAnn Lee: three\nfour\n"
    )
    transcript = read(text)
    assert [(turn.no, turn.text, turn.start_s) for turn in transcript.turns] == [
        (1, "one\ntwo", 1),
        (3, "three\nfour", 4),
    ]
    assert transcript.left_out == {"no speaker": 1}


MALFORMED = {
    "no empty line between cues": "1\n00:00:01,000 --> 00:00:02,000\nBob: one\n2\n00:00:02,000 --> 00:00:03,000\nAnn Lee: 3\n3\n00:00:03,000 --> 00:00:04,000\nBob: three",
    "no numbers": "00:00:01,000 --> 00:00:02,000\nBob: one\n\n00:00:02,000 --> 00:00:03,000\nAnn Lee: 3\n\n00:00:03,000 --> 00:00:04,000\nBob: three\n",
    "no hours": "1\n00:01,000 --> 00:02,000\nBob: one\n\n2\n00:02.000 --> 00:03.000\nAnn Lee: 3\n\n3\n00:03,000 --> 00:04,000\nBob: three\n",
    "no parts of a second": "1\n00:00:01 --> 00:00:02\nBob: one\n\n2\n0:00:02 --> 0:00:03\nAnn Lee: 3\n\n3\n00:00:03 --> 00:00:04\nBob: three\n",
    "many parts of a second": "1\n00:00:01,0000 --> 00:00:02,0000\nBob: one\n\n2\n00:00:02.000000 --> 00:00:03.000000\nAnn Lee: 3\n\n3\n00:00:03,000 --> 00:00:04,000\nBob: three\n",
    "another arrow": "1\n00:00:01,000-->00:00:02,000\nBob: one\n\n2\n00:00:02,000 -> 00:00:03,000\nAnn Lee: 3\n\n3\n00:00:03,000 --> 00:00:04,000\nBob: three\n",
    "settings, tags and a mark": '\ufeff1\r\n00:00:01,000 --> 00:00:02,000 X1:1 X2:2\r\n{\\an8}<font color="#fff">Bob:</font> one\r\n\r\n2\r\n00:00:02,000 --> 00:00:03,000\r\n<i>Ann Lee:</i> 3\r\n\r\n3\r\n00:00:03,000 --> 00:00:04,000\r\nBob: three',
    "two voices in a cue": "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Bob>one</v>\n\n00:02.000 --> 00:03.000\n<v.loud Ann Lee>3\n\n00:03.000 --> 00:04.000\n<v Bob>three</v>",
    "notes and styles": "WEBVTT\n\nSTYLE\n::cue {}\n\n00:01.000 --> 00:02.000\n<v Bob>one</v>\n\nNOTE\nnot said\n\n00:02.000 --> 00:03.000\n<v Ann Lee>3</v>\n\nNOTE a\n\n00:03.000 --> 00:04.000\n<v Bob>three",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_subtitles_are_read_however_loosely_they_are_written(text: str) -> None:
    transcript = read(text)
    assert rows(transcript) == [("guest", "Bob", "one"), ("host", "Ann Lee", "3"), ("guest", "Bob", "three")]
    assert [turn.start_s for turn in transcript.turns] == [1, 2, 3]


def test_each_voice_of_a_cue_says_its_own_words_and_signs_that_are_spelled_out_are_signs() -> None:
    transcript = read(
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Bob>1 &lt; 2&nbsp;&amp; so on</v>\n<v Ann Lee>AT&T &lt;b&gt;</v>\n"
    )
    assert rows(transcript) == [("guest", "Bob", "1 < 2 & so on"), ("host", "Ann Lee", "AT&T <b>")]


def test_a_number_that_is_said_is_no_number_of_a_cue() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nBob: how many?\n42\n\n2\n00:00:02,000 --> 00:00:03,000\nAnn Lee:\n42\n3\n00:00:03,000 --> 00:00:04,000\nBob: so"
    assert rows(read(text)) == [("guest", "Bob", "how many?\n42"), ("host", "Ann Lee", "42"), ("guest", "Bob", "so")]


@pytest.mark.parametrize("form", ["subtitles", "ass", "json"])
def test_a_file_that_is_not_in_the_form_that_is_set_has_no_turn_and_stops_nothing(form: str) -> None:
    assert read("Bob: one\nAnn Lee: two\n", SETTINGS.model_copy(update={"form": form})).turns == []


@pytest.mark.parametrize("name", ["Amy", "Amanda Pmx", "Pmela"])
@pytest.mark.parametrize("line", ["{t} {l}: {x}\n", "[{t}] {l}: {x}\n", "{t} {l}\n{x}\n", "{t} **{l}** {x}\n"])
def test_a_name_that_begins_as_am_and_pm_do_is_not_cut(line: str, name: str) -> None:
    found = read(written(line, {"Bob": name}), CorpusSettings(host_labels=["Ann Lee"], guest_labels=["*"]))
    assert [(turn.label, turn.text) for turn in found.turns] == [
        (name if label == "Bob" else label, text) for _, label, text in EXPECTED
    ]
    assert [turn.start_s for turn in found.turns] == [5, 17, 71, 3723]


SEGMENTS = [
    {"start": second + 0.25, "end": second + 3.0, "text": f" {text}", "speaker": label}
    for _, label, text, second in SAID
]
FUNASR = [{"start": second * 1000 + 250, "end": second * 1000 + 3000, "text": text, "spk": label} for _, label, text, second in SAID]  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        {"segments": SEGMENTS, "word_segments": [{"word": "How", "start": 5.25}]},
        SEGMENTS,
        {"text": "all of it", "result": {"segments": SEGMENTS}},
        [{"key": "talk", "text": "all of it", "sentence_info": FUNASR}],
        {"sentence_info": FUNASR},
    ],
    ids=["whisperx", "bare list", "nested", "funasr", "funasr object"],
)
def test_recogniser_json_is_turns_with_times(document: object) -> None:
    transcript = read(json.dumps(document, ensure_ascii=False))
    assert (rows(transcript), transcript.form) == (EXPECTED, "json")
    assert [turn.start_s for turn in transcript.turns] == [5.25, 17.25, 71.25, 3723.25]


def test_the_fields_of_json_are_a_setting() -> None:
    document = {"items": [{"wer": label, "von": second, "was": text} for _, label, text, second in SAID]}
    settings = SETTINGS.model_copy(update={"json_fields": ["wer", "von", "was"]})
    transcript = read(json.dumps(document), settings)
    assert rows(transcript) == EXPECTED and [turn.start_s for turn in transcript.turns] == [5, 17, 71, 3723]


def test_json_that_is_no_transcript_has_no_turn() -> None:
    assert read('{"name": "package", "version": "1.0", "files": ["a", "b"]}').turns == []


def test_a_users_own_expression_reads_what_no_form_does() -> None:
    text = "".join(f"~{label}~ @{short(second)} | {text}\nmore\n" for _, label, text, second in SAID)
    own = r"~(?P<label>[^~]+)~ @(?P<time>\d+:\d\d) \| (?P<text>.*)"
    transcript = read(text, CorpusSettings(host_labels=["Ann Lee"], guest_labels=["Bob"], form=own))
    assert rows(transcript) == [(side, label, f"{text}\nmore") for side, label, text in EXPECTED]
    assert [turn.start_s for turn in transcript.turns] == [5, 17, 71, 3723]


FRONT = "---\ntitle: Chains: a talk\ndate: 2024-03-01\nurl: 'https://example.org/1'\n---\n"


@pytest.mark.parametrize("line", ["{l}: {x}\n", "**{l}:** {x}\n\n", "### {l}\n\n{x}\n\n", "{l}  {t}\n{x}\n"])
def test_what_stands_around_a_dialogue_is_left_out_and_counted(line: str) -> None:
    around = (
        "# Episode\n\n![cover](a.png)\n\n<!-- Ann Lee: not\nsaid -->\n\n| a | b |\n|---|---|\n\n```\nBob: code\n```\n\n"
    )
    transcript = read(FRONT + around + written(line))
    assert rows(transcript) == EXPECTED
    assert transcript.metadata == {"title": "Chains: a talk", "url": "https://example.org/1"}
    assert transcript.date is not None and transcript.date.isoformat() == "2024-03-01"
    kinds = {"front matter": 5, "image": 1, "comment": 2, "table": 2, "code block": 3}
    assert {kind: transcript.left_out.get(kind) for kind in kinds} == kinds


@pytest.mark.parametrize(
    "third",
    [
        "🐟老魏：我插一句", "Christopher: hello", "O'Beirne: hello", "Maria del Carmen: hello", "**Carl:** hello", "**Carl**: hello",
        "[00:01] Carl: hello", "【Carl】：hello", "Carl (00:12): hello", "- **Carl:** hello", "Dr. Lee: hello", "*Carl*: hello",
        "[2024/3/5, 12:33:01] Carl: hello", "<strong>Carl:</strong> hello", "SPEAKER_07: hello", "> **Carl**: hello",
    ],
)  # fmt: skip
@pytest.mark.parametrize("line", ["{l}: {x}\n", "**{l}:** {x}\n"])
def test_what_may_open_somebody_elses_turn_is_never_the_personas(third: str, line: str) -> None:
    transcript = read(written(line) + third + "\nand his second line\n" + written(line))
    said = third.rsplit(" ", 1)[-1].rsplit("：", 1)[-1]
    texts = " ".join(turn.text for turn in transcript.turns)
    assert said not in texts and "second line" not in texts
    assert sum(transcript.unknown_labels.values()) == 1 and rows(transcript) == EXPECTED * 2
    assert transcript.turns[4].no != 5 or transcript.turns[3].flags == UNKNOWN_LABEL


@pytest.mark.parametrize(
    "words",
    [
        "注意：慢一点",
        "问题是：没钱",
        "比分3：2",
        "https://example.org:80/a",
        "8:30 he came",
        "时间是12:30：别迟到",
        "Here's the summary: slow",
        "To clarify that: slow",
        "One example of the: slow",
        "Note: slow",
        "第一：存钱",
    ],
)
@pytest.mark.parametrize("line", ["{l}: {x}\n", "**{l}:** {x}\n", "{l}  {t}\n{x}\n"])
def test_a_word_with_a_colon_inside_a_turn_opens_none(words: str, line: str) -> None:
    text = (written(line) + words + "\n") * 3
    last = (*EXPECTED[-1][:2], f"{EXPECTED[-1][2]}\n{words}")
    transcript = read(text)
    assert rows(transcript) == [*EXPECTED[:-1], last] * 3 and not transcript.unknown_labels


def test_whoever_is_not_the_host_is_a_guest_where_the_settings_say_so() -> None:
    settings = CorpusSettings(host_labels=["Ann Lee"], guest_labels=["*"])
    text = written("**{l}:** {x}\n") + "**Carl:** me too\n" + written("**{l}:** {x}\n")
    assert rows(read(text, settings)) == [*EXPECTED, ("guest", "Carl", "me too"), *EXPECTED]


ANYBODY = CorpusSettings(host_labels=["Ann Lee"], guest_labels=["*"])


@pytest.mark.parametrize("settings", [SETTINGS, ANYBODY], ids=["named", "anybody"])
@pytest.mark.parametrize("said", ["1:30 PM our time.", "8:30 is early", "12:00, at noon"])
def test_a_turn_that_begins_with_a_time_of_day_keeps_it(said: str, settings: CorpusSettings) -> None:
    text = f"**Ann Lee:** When?\n\n**Bob:** {said}\n\n**Ann Lee:** {said}\n"
    assert [turn.text for turn in read(text, settings).turns] == ["When?", said, said]


@pytest.mark.parametrize(
    "line", ["{l}: {t}:\n{x}\n\n", "{l}：[{t}]\n{x}\n\n", "**{l}:** {t}\n\n{x}\n\n", "**{l}**: ({t})\n{x}\n"]
)
@pytest.mark.parametrize("settings", [SETTINGS, ANYBODY], ids=["named", "anybody"])
def test_a_time_that_is_all_there_is_behind_a_name_is_the_turns_second(line: str, settings: CorpusSettings) -> None:
    transcript = read(written(line), settings)
    assert rows(transcript) == EXPECTED and [turn.start_s for turn in transcript.turns] == [5, 17, 71, 3723]


def test_names_that_take_turns_in_a_file_without_the_host_are_speakers() -> None:
    text = "".join(f"Carl: question {n}\n\nDora: answer {n}\n\n" for n in range(4))
    assert {(turn.side, turn.label) for turn in read(text, ANYBODY).turns} == {("guest", "Carl"), ("guest", "Dora")}
    named = read(text)
    assert not named.turns and dict(named.unknown_labels) == {"Carl": 4, "Dora": 4}
    once = "Pro: cheap\nContra: slow\nPro: quiet\nContra: ugly\n"  # too little to tell
    assert not read(once, ANYBODY).turns


def test_initials_that_a_name_brings_with_it_are_that_speakers() -> None:
    text = "Bob (BX): Hello?\n\nAnn Lee (AL): Hello.\n\nBX: What is new?\n\nAL: The shop.\n\nBX: Oh.\n"
    transcript = read(text)
    assert rows(transcript)[2:] == [
        ("guest", "Bob", "What is new?"),
        ("host", "Ann Lee", "The shop."),
        ("guest", "Bob", "Oh."),
    ]
    assert not transcript.unknown_labels
    of_two = read("Bob (host): Hello?\nAnn Lee (host): Hello.\nBob: So?\nhost: mine\nBob: Yes.\n")
    assert "mine" not in " ".join(turn.text for turn in of_two.turns)


def test_a_line_that_names_an_address_is_nobodys_turn() -> None:
    text = written("{l}: {x}\n") + "Slides: https://example.org/a\n"
    transcript = read(text * 2, ANYBODY)
    assert {turn.label for turn in transcript.turns} == {"Ann Lee", "Bob"}
    assert not any("example.org/a" in turn.text for turn in transcript.turns)


def test_a_form_says_how_sure_it_is() -> None:
    heading = written("### {l}\n\n{x}\n\n") * 4
    assert read(heading).sure == 1
    assert read(heading + "Bob: hello\n").sure == pytest.approx(16 / 17)
    assert read(heading + "Bob: hello\n", SETTINGS.model_copy(update={"form": "heading"})).sure == 1


def test_a_monologue_has_turns_of_the_host_alone() -> None:
    settings = CorpusSettings(host_labels=["Ann Lee"], guest_labels=[])
    assert rows(read("Ann Lee: one\ntwo\nAnn Lee: three", settings)) == [
        ("host", "Ann Lee", "one\ntwo"),
        ("host", "Ann Lee", "three"),
    ]


@pytest.mark.parametrize(
    "names", ["Bob\nhow are you\nAnn Lee\nfine", "Bob is here\nAnn Lee: fine\nBob\nAnn Lee\nBob: well"]
)
def test_a_name_alone_opens_a_turn_only_where_turns_are_opened_so(names: str) -> None:
    found = rows(read(names))
    assert found in (
        [("guest", "Bob", "how are you"), ("host", "Ann Lee", "fine")],
        [("host", "Ann Lee", "fine\nBob\nAnn Lee"), ("guest", "Bob", "well")],
    )
