"""Near-duplicates, by the plain definition beside."""

from __future__ import annotations

import random
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from hcf_pipeline.rag.index.terms import sampled_pairs
from hcf_pipeline.rag.search.duplicates import MIN_PAIRS, ONE_IN, SAME, originals

WIDE = "".join(map(chr, range(0x4E00, 0x5000)))


def by_definition(texts: list[str]) -> list[int]:
    """Every text beside every one before it."""
    owners, pairs = (part.tolist() for part in sampled_pairs(texts, ONE_IN))
    bags = [{pair for owner, pair in zip(owners, pairs, strict=True) if owner == n} for n in range(len(texts))]

    def same(one: int, two: int) -> bool:
        fewer = min(len(bags[one]), len(bags[two]))
        return texts[one] == texts[two] or (
            fewer >= MIN_PAIRS and len(bags[one] & bags[two]) >= SAME * fewer
        )  # fmt: skip

    found: list[int] = []
    for n in range(len(texts)):
        found.append(next((first for first in range(n) if found[first] == first and same(first, n)), n))
    return found


@st.composite
def repeated_texts(draw: st.DrawFn) -> list[str]:
    """Some texts, and parts and changed copies of them."""
    random_ = random.Random(draw(st.integers(0, 2**32)))
    letters = draw(st.sampled_from(["修车", "修车铺电瓶面馆", WIDE]))
    texts = ["".join(random_.choices(letters, k=random_.randrange(160))) for _ in range(draw(st.integers(0, 6)))]
    for text in [text for text in texts if text] * draw(st.integers(0, 3)):
        changed = list(text)
        for _ in range(int(len(text) * random_.random() / 4)):
            changed[random_.randrange(len(text))] = random_.choice(letters)
        texts.append("".join(changed)[random_.randrange(len(text)) * (random_.random() < 0.5) :])
    random_.shuffle(texts)
    return texts


@given(repeated_texts())
@settings(deadline=None, max_examples=300)
def test_texts_repeat_what_the_definition_says(texts: list[str]) -> None:
    assert originals(texts) == by_definition(texts)


def test_a_changed_copy_and_a_part_repeat_the_first_and_another_text_does_not() -> None:
    text = "".join(random.Random(1).choices(WIDE, k=200))
    other = "".join(random.Random(2).choices(WIDE, k=200))
    assert originals([text, other, text[:120], text[:90] + "改了" + text[92:], other]) == [0, 1, 0, 0, 1]


def test_what_is_short_has_to_be_equal() -> None:
    assert originals(["好的。", "好的", "好的。", "行"]) == [0, 1, 0, 3]


def test_memory_grows_with_the_texts_and_not_with_their_square() -> None:
    random_ = random.Random(3)
    texts = ["".join(random_.choices(WIDE, k=120)) for _ in range(2000)]

    def peak(texts: list[str]) -> int:
        tracemalloc.start()
        assert originals(texts) == list(range(len(texts)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    originals(texts[:1])  # tables that are made once
    assert peak(texts) < 6 * peak(texts[:500])
