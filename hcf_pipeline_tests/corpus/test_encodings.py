"""Bytes as text: which encoding they are in."""

from __future__ import annotations

import pytest

from hcf_pipeline.corpus.encodings import decode

SIMPLE = "网友：你平时怎么洗链条？\n老李：我每天晚上用干布擦，上蜡，不上油。\n" * 3
TRADITIONAL = "網友：你平時怎麼洗鏈條？\n老李：我每天晚上用乾布擦，上蠟，不上油。\n" * 3


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (SIMPLE.encode(), SIMPLE, "UTF-8"),
        (SIMPLE.encode("utf-8-sig"), SIMPLE, "UTF-8"),
        (SIMPLE.encode("utf-16"), SIMPLE, "UTF-16"),
        (b"\xfe\xff" + SIMPLE.encode("utf-16-be"), SIMPLE, "UTF-16"),
        (SIMPLE.encode("gb18030"), SIMPLE, "GB18030"),
        (TRADITIONAL.encode("gb18030"), TRADITIONAL, "GB18030"),
        (TRADITIONAL.encode("big5"), TRADITIONAL, "Big5"),
        ((SIMPLE + "😀").encode("gb18030"), SIMPLE + "😀", "GB18030"),
    ],
)
def test_each_encoding_is_read_and_named(data: bytes, text: str, encoding: str) -> None:
    found = decode(data)
    assert not isinstance(found, int) and (found.text, found.encoding) == (text, encoding)


@pytest.mark.parametrize(
    ("data", "byte"),
    [
        (SIMPLE.encode() + b"\xff\xfe", len(SIMPLE.encode())),
        (SIMPLE.encode()[:-2] + b"abc", len(SIMPLE.encode()) - 4),
        (SIMPLE.encode("utf-16") + b"\x00\xd8", len(SIMPLE.encode("utf-16"))),
        ("Un café très été, naïve façade.".encode("latin-1"), 6),
        (bytes(range(256)), 128),
    ],
)
def test_a_wrong_guess_is_not_made_and_the_first_bad_byte_is_named(data: bytes, byte: int) -> None:
    assert decode(data) == byte


def test_control_characters_are_taken_out_and_counted() -> None:
    found = decode("甲：红\x1b[31m字\x07\x00。\r\n乙：好\x9b".encode())
    assert not isinstance(found, int) and (found.text, found.n_control) == ("甲：红[31m字。\n乙：好", 4)
