"""How fast each form of transcripts is read: `python benchmarks/forms.py [--mb 8] [--only srt] [--guests "*"]`.

One core. The same made-up dialogue in every form, 1 MB a file: short questions, answers of one to five paragraphs, Chinese and
English, half of the lines under 75 bytes and 150 in the mean as in the archives that people publish, one paragraph in 25
with a word, a time or an address that has a colon. Prints MB/s (UTF-8 bytes, the best of several runs) of
`parse_transcript`; the same of a chat of single sentences, 45 bytes in the mean, where it is the turns that cost; how much
longer a file of twice the size takes; and what other readers make of the same bytes in the same run.
`pip install pysubs2 webvtt-py srt` shows the subtitle libraries, which do less: they give cues, and no speaker or turn.
What is read is compared with what was written, so a figure of a form that is read wrongly cannot be printed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.transcript import parse_transcript
from hcf_pipeline.settings import CorpusSettings

HOST, GUESTS = "Ann Lee", ("Bob", "热心网友", "Maria del Carmen")
OWN = r"~(?P<label>[^~]+)~ @(?P<time>[\d:]+) \| (?P<text>.*)"
FILE_BYTES = 1_000_000

_ENGLISH = [
    "the",
    "a",
    "chain",
    "bike",
    "wheel",
    "we",
    "you",
    "they",
    "shop",
    "year",
    "people",
    "money",
    "think",
    "about",
    "really",
    "know",
    "because",
    "when",
    "every",
    "little",
    "only",
    "with",
    "for",
    "from",
    "into",
    "never",
    "always",
    "rain",
    "winter",
    "rent",
    "customer",
    "brake",
    "oil",
    "wax",
    "morning",
    "question",
    "answer",
    "talk",
    "road",
    "city",
    "price",
    "fair",
    "work",
    "said",
    "make",
    "keep",
    "clean",
    "buy",
    "sell",
    "learn",
    "find",
    "good",
    "better",
    "old",
    "new",
    "first",
    "last",
    "other",
    "own",
    "long",
    "short",
    "it",
    "is",
    "was",
    "not",
    "and",
    "but",
    "so",
]
_CHINESE = [
    "我们",
    "你",
    "他们",
    "觉得",
    "其实",
    "链条",
    "车轮",
    "店里",
    "一年",
    "大家",
    "钱",
    "因为",
    "每天",
    "只有",
    "从来",
    "冬天",
    "房租",
    "顾客",
    "刹车",
    "早上",
    "问题",
    "回答",
    "路上",
    "城市",
    "价格",
    "公平",
    "工作",
    "就是",
    "不是",
    "可以",
    "保持",
    "干净",
    "买",
    "卖",
    "学会",
    "找到",
    "更好",
    "旧的",
    "新的",
    "第一次",
    "最后",
    "自己",
    "很长",
    "很短",
    "的",
    "了",
    "吗",
    "也",
    "都",
    "在",
    "和",
    "但是",
    "所以",
    "这个",
    "那个",
]


class Said(NamedTuple):
    """One turn of the dialogue."""

    label: str
    second: int
    paragraphs: list[str]


def dialogue(n_bytes: int, seed: int, *, chat: bool = False) -> list[Said]:
    """A made-up dialogue of about so many bytes: the host answers one of three guests; no two sentences are alike.

    In a chat each of them says one sentence.
    """
    chance = random.Random(seed)
    turns: list[Said] = []
    size, second = 0, 5
    while size < n_bytes:
        for label, n_paragraphs in ((chance.choice(GUESTS), 1), (HOST, chance.choice((1, 1, 1, 2, 2, 3, 5)))):
            sentences = _chinese if label == GUESTS[1] or chance.random() < 0.4 else _english
            paragraphs = (
                [sentences(chance).strip()] if chat else [_paragraph(chance, sentences) for _ in range(n_paragraphs)]
            )
            turns.append(Said(label, second, paragraphs))
            n_of_turn = sum(len(paragraph.encode()) for paragraph in paragraphs)
            size += n_of_turn + len(label.encode()) + 2
            second += 1 + n_of_turn // 15
    return turns


def _paragraph(chance: random.Random, sentence: Callable[[random.Random], str]) -> str:
    text = "".join(sentence(chance) for _ in range(min(20, int(chance.lognormvariate(0.5, 0.9)) or 1))).strip()
    if chance.random() < 0.04:
        word, hour = chance.choice(_ENGLISH), f"{chance.randrange(24)}:{chance.randrange(60):02}"
        before = (
            f"注意：{word}，",
            f"On the {word}, {hour}: ",
            f"At {hour} ",
            f"https://example.org/{word} ",
            f"到{hour}，",
            "问题是：",
        )
        text = chance.choice(before) + text
    return text


def _english(chance: random.Random) -> str:
    words = chance.choices(_ENGLISH, k=chance.choice((3, 4, 6, 9, 14, 20)))
    if len(words) > 8:
        words[len(words) // 2] += ","
    return " ".join(words).capitalize() + chance.choice([".", ".", ".", "?", "!"]) + " "


def _chinese(chance: random.Random) -> str:
    words = chance.choices(_CHINESE, k=chance.choice((2, 3, 5, 8, 12)))
    if len(words) > 5:
        words[len(words) // 2] += "，"
    return "".join(words) + chance.choice("。。。？！")


def clock(second: float) -> str:
    whole = int(second)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


class Cue(NamedTuple):
    label: str
    begin: int
    text: str


def cues(turns: Sequence[Said]) -> Iterator[Cue]:
    """A cue for each sentence or two, as subtitles have: each names its speaker."""
    for label, second, paragraphs in turns:
        for paragraph in paragraphs:
            for n, at in enumerate(range(0, len(paragraph), 80)):
                if line := paragraph[at : at + 80].strip():
                    yield Cue(label, second + n, line)


def by_line(pattern: str, between: str = "\n\n") -> Callable[[Sequence[Said]], str]:
    """Writes a turn as `pattern`, further paragraphs on lines of their own."""

    def write(turns: Sequence[Said]) -> str:
        day = 9 * 3600
        return "".join(
            pattern.format(l=label, x=between.join(paragraphs), t=clock(second), d=clock(second % 50_000 + day))
            + between
            for label, second, paragraphs in turns
        )

    return write


def srt(turns: Sequence[Said]) -> str:
    return "".join(
        f"{n}\n{clock(cue.begin)},250 --> {clock(cue.begin + 3)},000\n{cue.label}: {cue.text}\n\n"
        for n, cue in enumerate(cues(turns), 1)
    )


def vtt(turns: Sequence[Said]) -> str:
    return "WEBVTT\n\nNOTE made up\n\n" + "".join(
        f"{clock(cue.begin)}.250 --> {clock(cue.begin + 3)}.000 align:start\n<v {cue.label}>{cue.text}</v>\n\n"
        for cue in cues(turns)
    )


def ass(turns: Sequence[Said]) -> str:
    head = (
        "[Script Info]\nTitle: made up\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\nStyle: Default\n\n[Events]\n"
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    )
    return head + "".join(
        f"Dialogue: 0,{clock(cue.begin)[1:]}.25,{clock(cue.begin + 3)[1:]}.00,Default,{cue.label},0,0,0,,{{\\i1}}{cue.text}\n"
        for cue in cues(turns)
    )


def recogniser_json(turns: Sequence[Said]) -> str:
    segments = [
        {"start": cue.begin + 0.25, "end": cue.begin + 3.0, "text": f" {cue.text}", "speaker": cue.label}
        for cue in cues(turns)
    ]
    return json.dumps({"segments": segments}, ensure_ascii=False)


WRITERS: dict[str, Callable[[Sequence[Said]], str]] = {
    "label：": by_line("{l}：{x}"),
    "label:": by_line("{l}: {x}"),
    "bold": by_line("**{l}:** {x}"),
    "bracket": by_line("【{l}】{x}", "\n"),
    "tab": by_line("{l}\t{x}", "\n"),
    "list": by_line("- {l}: {x}", "\n"),
    "time before": by_line("[{t}] {l}: {x}"),
    "time after": by_line("{l} ({t}): {x}"),
    "name and time": by_line("{l}  {t}\n{x}"),
    "heading": by_line("### {l}\n\n{x}"),
    "name alone": by_line("{l}\n{x}"),
    "chat export": by_line("[2024/3/5, {d}] {l}: {x}", "\n"),
    "chat on lines": by_line("{l} 2024/3/5 {d}\n{x}"),
    "own expression": by_line("~{l}~ @{t} | {x}"),
    "srt": srt,
    "vtt": vtt,
    "ass": ass,
    "json": recogniser_json,
}


def others(name: str) -> dict[str, Callable[[str], object]]:
    """What else reads this form, as far as it is installed."""
    readers: dict[str, Callable[[str], object]] = {}
    if name in ("srt", "vtt", "ass"):
        if library := _installed("pysubs2"):
            readers["pysubs2"] = library.SSAFile.from_string
        if name == "srt" and (library := _installed("srt")):
            readers["srt"] = lambda text, parse=library.parse: list(parse(text))
        if name == "vtt" and (library := _installed("webvtt")):
            readers["webvtt-py"] = lambda text, read=library.from_buffer: read(io.StringIO(text))
    if name == "json":
        readers["json.loads"] = json.loads
    return readers


def _installed(name: str):  # type: ignore[no-untyped-def]
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def best_of(n: int, work: Callable[[], object]) -> float:
    """Seconds of processor time of the fastest of n runs."""
    times = []
    for _ in range(n):
        gc.collect()
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def megabytes_a_second(texts: Sequence[str], n_runs: int, grammar: Grammar) -> float:
    seconds = best_of(n_runs, lambda: [parse_transcript(text, grammar) for text in texts])
    return sum(len(text.encode()) for text in texts) / 1e6 / seconds


def check(name: str, turns: Sequence[Said], grammar: Grammar) -> None:
    """Raises AssertionError where the form is not read as it was written."""
    found = parse_transcript(WRITERS[name](turns), grammar).turns
    spoken = {turn.no: (turn.label, "".join(turn.text.split())) for turn in found}
    wanted = {n: (said.label, "".join("".join(said.paragraphs).split())) for n, said in enumerate(turns, 1)}
    differ = [n for n in wanted if spoken.get(n) != wanted[n]]
    assert not differ, (
        f"{name}: {len(differ)} of {len(wanted)} turns, such as {wanted[differ[0]]} {spoken.get(differ[0])}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mb", type=int, default=8, help="of each form, in files of 1 MB")
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--only", nargs="*", default=list(WRITERS), choices=list(WRITERS))
    arguments.add_argument("--guests", nargs="*", default=list(GUESTS), help='labels that are set; "*": anybody')
    given = arguments.parse_args()
    files = [dialogue(FILE_BYTES, seed) for seed in range(max(2, given.mb))]
    chats = [dialogue(FILE_BYTES, seed, chat=True) for seed in range(max(2, given.mb))]
    print(f"{'form':16}{'MB/s':>7}{'chat':>7}{'growth':>8}   others, MB/s")
    for name in given.only:
        write = WRITERS[name]
        grammar = Grammar(
            CorpusSettings(
                host_labels=[HOST], guest_labels=given.guests, form=OWN if name == "own expression" else "auto"
            )
        )
        if set(given.guests) in ({"*"}, set(GUESTS)):
            check(name, files[0], grammar)
        texts = [write(turns) for turns in files]
        speed = megabytes_a_second(texts, given.runs, grammar)
        speed_of_chat = megabytes_a_second([write(turns) for turns in chats], given.runs, grammar)
        half, whole = (
            write([said for turns in files[:n] for said in turns]) for n in (max(1, given.mb // 2), max(2, given.mb))
        )
        growth = [best_of(given.runs, partial(parse_transcript, text, grammar)) for text in (half, whole)]
        row = f"{name:16}{speed:7.1f}{speed_of_chat:7.1f}{growth[1] / growth[0]:8.2f}"
        for other, reader in others(name).items():
            seconds = best_of(1, partial(list, map(reader, texts)))
            theirs = sum(len(text.encode()) for text in texts) / 1e6 / seconds
            row += f"   {other} {theirs:.1f} (ours is {speed / theirs:.1f} times as fast)"
        print(row, flush=True)


if __name__ == "__main__":
    main()
