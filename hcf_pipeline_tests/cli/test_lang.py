"""`--lang` governs every word of ours, and the prompt follows the corpus: an English one, from init to verify."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from hcf_pipeline_tests.conftest import Project

SAID = (
    (
        "How long does the barley bread bake?",
        "Barley bread bakes for twenty five minutes, turn it over at minute twelve.",
    ),
    ("Did the old radio ever work again?", "The radio needed one new capacitor, and that cost me thirty cents."),
    (
        "Where do you put the antenna in the hills?",
        "In the hills the antenna has to go on the roof, never during a storm.",
    ),
    ("Why do old tapes stick?", "Old tapes stick when they lie around, rewind them once before you listen."),
)
CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("english"))
    (project.root / "mine").mkdir()
    for n in range(1, 9):
        said = [SAID[(n + i) % 4] for i in range(4)]
        text = "\n\n".join(f"**Carl Berg:** {asked}\n\n**Hanna O'Brien:** {told}" for asked, told in said)
        (project.root / "mine" / f"episode-{n}.md").write_text(f"{text}\n", encoding="utf-8")
    (project.root / "mine" / "notes.rst").write_text("a file of another ending", encoding="utf-8")
    for command in (["init", "mine"], ["check"], ["refresh"]):
        done = project.hcf("--lang", "en", *command, HCF_BASE__STEPS="2", HCF_LORA__MAX_STEPS="1")
        assert done.returncode == 0, done.stderr
        assert not CHINESE.search(done.stdout + done.stderr), done.stdout + done.stderr
    return project


@pytest.mark.parametrize(
    "command",
    [
        ("ask", "How long does barley bread bake?"),
        ("ask", "How long does barley bread bake?", "--json"),
        ("ask", "How does photosynthesis work?"),
        ("retrieve", "the antenna in the hills"),
        ("retrieve", "the antenna in the hills", "--json"),
        ("retrieve", "zzz", "--since", "2031-01-01"),
        ("verify", "turn it over at minute twelve"),
        ("verify", "turn it under at minute ten"),
        ("verify", "the hills are full of cheese"),
        ("verify", "Why do old tapes stick?"),
        ("turns", "mine/episode-1.md"),
        ("status",),
        ("release", "list"),
        ("release", "show"),
        ("gc", "--dry-run"),
    ],
    ids=" ".join,
)
def test_in_an_english_corpus_with_lang_en_nothing_is_chinese(english: Project, command: tuple[str, ...]) -> None:
    done = english.hcf("--lang", "en", *command)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    ours = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("(toy model)")]
    assert not CHINESE.search("\n".join(ours)), done.stdout + done.stderr


def test_with_lang_zh_the_marks_are_chinese(english: Project) -> None:
    (first, *_) = english.json("--lang", "zh", "ask", "How long does barley bread bake?")["citations"]
    assert "Hanna O'Brien：" in first["text"]
    assert "「turn it over」" in english.hcf("--lang", "zh", "verify", "turn it over").stdout


def test_a_model_of_an_english_corpus_learns_and_is_asked_in_english(english: Project) -> None:
    shown = english.json("release", "show")
    assert shown["serving"]["chat.persona_prompt"].startswith("You speak as {persona}")
    (dataset,) = (english.home / "sft_dataset").glob("*/manifest.json")
    assert "You speak as Hanna O'Brien" in json.loads(dataset.read_text(encoding="utf-8"))["metadata"]["system_prompt"]
    assert "persona_prompt" not in english.hcf("--lang", "en", "ask", "Where is the antenna?").stderr


def test_quotations_are_verified_where_the_encoder_is_damaged(english: Project, tmp_path: Path) -> None:
    shutil.copytree(english.root, tmp_path / "damaged")
    project = Project(tmp_path / "damaged")
    files = [file for file in (project.home / "encoder_model").rglob("*") if file.is_file()]
    weights = max(files, key=lambda file: file.stat().st_size)
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(damaged)
    found = project.json("verify", "turn it over at minute twelve")
    assert (found["verdict"], found["n_places"], len(found["matches"])) == ("verbatim", 8, 5)
    assert project.hcf("ask", "How long does barley bread bake?").returncode != 0
