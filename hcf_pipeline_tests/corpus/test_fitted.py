"""How far pairs moved, and what is read to know it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hcf_pipeline.corpus.fitted import (
    FITTED_ON,
    Moved,
    changed_share,
    pairs_between,
    record_fitted_on,
    seen_transcripts,
)
from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.parts import PARTS
from hcf_pipeline.corpus.tables import PAIRS, TURNS, read_pairs, write_pair_table, write_turn_table
from hcf_pipeline.settings import CorpusSettings

SETTINGS = CorpusSettings(host_labels=["甲"], guest_labels=["乙"])


def broadcast(*questions: str) -> str:
    return "\n".join(f"乙：{question}\n甲：说的是{question}。" for question in questions)


BROADCASTS = {f"2024-01-0{n}.md": broadcast(*(f"第{n}天第{i}问" for i in range(5))) for n in range(1, 5)}


def pair_table(root: Path, transcripts: Mapping[str, str]) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    (root / "corpus").mkdir(parents=True)
    for path, text in transcripts.items():
        (root / "corpus" / path).parent.mkdir(exist_ok=True)
        (root / "corpus" / path).write_text(text, encoding="utf-8")
    write_turn_table(scan(root / "corpus", SETTINGS), Grammar(SETTINGS), root)
    write_pair_table(root / TURNS, root)
    return root / PAIRS


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return pair_table(tmp_path / "old", BROADCASTS)


@pytest.mark.parametrize(
    ("now", "came", "went"),
    [
        (BROADCASTS, 0, 0),
        ({f"2024/{path}": text for path, text in BROADCASTS.items()}, 0, 0),
        ({path.replace("2024", "2025"): text for path, text in BROADCASTS.items()}, 0, 0),
        ({path: f"\n甲：开播了。\n\n{text}" for path, text in BROADCASTS.items()}, 0, 0),
        (BROADCASTS | {"2024-02-01.md": broadcast("新的", "更新的")}, 2, 0),
        (BROADCASTS | {"2024-02-01.md": BROADCASTS["2024-01-01.md"]}, 5, 0),
        (dict(list(BROADCASTS.items())[1:]), 0, 5),
        (BROADCASTS | {"2024-01-01.md": BROADCASTS["2024-01-01.md"].replace("第3问", "第三问")}, 1, 1),
        (BROADCASTS | {"2024-01-01.md": broadcast("都换了")}, 1, 5),
    ],
    ids=["same", "moved", "renamed", "turn numbers moved", "new", "doubled", "deleted", "changed", "rewritten"],
)
def test_pairs_that_came_and_went_are_counted_and_moved_transcripts_are_not(
    old: Path, tmp_path: Path, now: Mapping[str, str], came: int, went: int
) -> None:
    new = pair_table(tmp_path / "new", now)
    assert pairs_between(old, new) == Moved(came, went, 20)
    assert pairs_between(new, old)[:2] == (went, came)
    record_fitted_on(old, tmp_path, BROADCASTS)
    assert changed_share(tmp_path / FITTED_ON, new) == max(came, went) / 20


def test_a_pair_that_moves_to_another_transcript_has_not_changed(old: Path, tmp_path: Path) -> None:
    first, second = (BROADCASTS[f"2024-01-0{n}.md"] for n in (1, 2))
    merged = BROADCASTS | {"2024-01-01.md": f"{first}\n{second}"}
    del merged["2024-01-02.md"]
    assert pairs_between(old, pair_table(tmp_path / "new", merged)) == Moved(0, 0, 20)


def test_what_has_not_changed_is_not_read(old: Path, tmp_path: Path) -> None:
    record_fitted_on(old, tmp_path, BROADCASTS)
    new = tmp_path / "new"
    shutil.copytree(old, new)
    for table in (old, new):
        shutil.rmtree(table / PARTS)
    assert changed_share(tmp_path / FITTED_ON, new) == 0
    assert pairs_between(old, new) == Moved(0, 0, 20)


def test_the_record_of_the_same_pairs_is_the_same_bytes(old: Path, tmp_path: Path) -> None:
    again = pair_table(tmp_path / "again", BROADCASTS)
    records = []
    for pairs in (old, again):
        record_fitted_on(pairs, tmp_path, BROADCASTS)
        records.append((tmp_path / FITTED_ON).read_bytes())
    assert records[0] == records[1]


def seen(records: list[Path], pairs: Path) -> frozenset[str]:
    return seen_transcripts(records, ((path, found) for path, _, found in read_pairs(pairs)))


def test_a_transcript_that_was_seen_is_known_again_under_whatever_name_and_date(old: Path, tmp_path: Path) -> None:
    first, second, *_ = BROADCASTS
    record_fitted_on(old, tmp_path, [first])
    assert seen([tmp_path / FITTED_ON], old) == {first}
    assert seen([], old) == frozenset()
    moved = pair_table(tmp_path / "new", {"2031/2031-01-01.md": BROADCASTS[first], "2031-02-02.md": BROADCASTS[second]})
    assert seen([tmp_path / FITTED_ON], moved) == {"2031/2031-01-01.md"}
    (tmp_path / "other").mkdir()
    record_fitted_on(old, tmp_path / "other", [second])
    assert len(seen([tmp_path / FITTED_ON, tmp_path / "other" / FITTED_ON], moved)) == 2


def test_one_long_pair_gives_a_transcript_away_and_a_short_one_does_not(tmp_path: Path) -> None:
    long, greeting = "这一句说得很长，长到别的场次里不会碰巧再有一句", "喂"
    old = pair_table(tmp_path / "old", {"2024-01-01.md": broadcast(long, greeting)})
    new = {
        "2024-02-01.md": broadcast(greeting, "新的", "更新的"),  # a third of its pairs, and short
        "2024-02-02.md": broadcast(long, "新的", "更新的"),
        "2024-02-03.md": broadcast(greeting, "新的"),  # half of its pairs
    }
    record_fitted_on(old, tmp_path, ["2024-01-01.md"])
    assert seen([tmp_path / FITTED_ON], pair_table(tmp_path / "new", new)) == {"2024-02-02.md", "2024-02-03.md"}


def test_a_record_that_does_not_say_what_was_seen_counts_as_having_seen_all_that_it_knows(
    old: Path, tmp_path: Path
) -> None:
    record_fitted_on(old, tmp_path, [])
    assert seen([tmp_path / FITTED_ON], old) == frozenset()
    with np.load(tmp_path / FITTED_ON) as record:
        np.savez(tmp_path / FITTED_ON, **{name: record[name] for name in ("digests", "n_pairs", "hashes")})
    assert seen([tmp_path / FITTED_ON], old) == set(BROADCASTS)
    assert changed_share(tmp_path / FITTED_ON, old) == 0


def test_of_no_pairs_before_every_new_one_counts_whole() -> None:
    assert Moved(3, 0, 0).share == 3 and Moved(0, 0, 0).share == 0 and Moved(1, 2, 4).share == 0.5
