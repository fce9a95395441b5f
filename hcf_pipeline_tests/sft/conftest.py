"""A small corpus, its pairs, samples and a tiny base, made once for all tests of the room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hcf_pipeline.corpus.grammar import Grammar
from hcf_pipeline.corpus.manifest import scan
from hcf_pipeline.corpus.tables import PAIRS, TURNS, write_pair_table, write_turn_table
from hcf_pipeline.lm.prompt import WORDS, system_prompt
from hcf_pipeline.settings import BaseSettings, CorpusSettings, LoraSettings, SftSettings
from hcf_pipeline.sft.base_model import fit_base
from hcf_pipeline.sft.samples import write_samples

SYSTEM = system_prompt(WORDS["zh"].persona, "江照野")
SFT = SftSettings(max_chars=120, max_pairs=3)
HELD_OUT = frozenset({"2024-03-10.md"})
BASE = BaseSettings(vocab_size=500, hidden_size=64, layers=2, steps=4)
LORA = LoraSettings(
    r=2, alpha=4, dropout=0.1, max_steps=10, epochs=1, batch_size=2, gradient_accumulation=1, learning_rate=1e-2,
    max_length=256, checkpoint_steps=4, held_out_samples=4,
)  # fmt: skip

THINGS = ["链条", "刹车", "后轮", "车架", "座垫", "电池", "脚踏", "车把"]
MakePairs = Callable[[dict[str, str]], Path]


@pytest.fixture(scope="session")
def make_pairs(tmp_path_factory: pytest.TempPathFactory) -> MakePairs:
    """Writes transcripts (name → text) and returns their pair table."""

    def make(transcripts: dict[str, str]) -> Path:
        root = tmp_path_factory.mktemp("corpus")
        for name, text in transcripts.items():
            (root / name).write_text(text, encoding="utf-8")
        out = tmp_path_factory.mktemp("tables")
        settings = CorpusSettings()
        write_turn_table(scan(root, settings), Grammar(settings), out)
        write_pair_table(out / TURNS, out)
        return out / PAIRS

    return make


def broadcast(n: int) -> str:
    lines = []
    for i in range(6):
        thing, other = THINGS[(n + i) % len(THINGS)], THINGS[(n * 3 + i * 5) % len(THINGS)]
        lines.append(f"水友：野哥，我的{thing}第{n * 7 + i}天就响了，怎么办？")
        lines.append(f"江照野：{thing}响，先看{other}。上油，十五块钱，别换新的，再骑{i + n}公里看看。")
    return "\n\n".join(lines)


@pytest.fixture(scope="session")
def pairs(make_pairs: MakePairs) -> Path:
    return make_pairs({f"2024-03-{day:02}.md": broadcast(day) for day in range(1, 11)})


@pytest.fixture(scope="session")
def samples(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples")
    write_samples(pairs, SFT, HELD_OUT, SYSTEM, out)
    return out


@pytest.fixture(scope="session")
def base(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base")
    fit_base(pairs, BASE, HELD_OUT, SYSTEM, out)
    return out
