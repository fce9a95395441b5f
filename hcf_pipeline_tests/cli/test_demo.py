"""`hcf demo` in a project that is set up for another corpus."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hcf_pipeline.cli.demo import SAMPLE as IN_CLONE
from hcf_pipeline.cli.demo import demo_settings, sample_of
from hcf_pipeline.errors import UserError
from hcf_pipeline.settings import CorpusSettings, Settings
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.conftest import ROOT, SAMPLE, SMALL, Finished, Project

FOREIGN = """
[corpus]
path = "直播"
host_labels = ["陈老师"]
guest_labels = ["小李", "江照野"]
date_pattern = '(?P<year>\\d{4})年(?P<month>\\d+)月(?P<day>\\d+)日'
noise = ["^江"]
max_file_mb = 1
git_url = "https://127.0.0.1:9/x"

[retrieval]
questions = ["mine.jsonl"]
today = 2025-01-01
top_k = 3

[chat]
persona_prompt = "你是种番茄的{persona}。"
device = "cpu"

[run]
threads = 1
"""


def load(root: Path, text: str, **environ: str) -> Settings:
    root.mkdir(exist_ok=True)
    (root / "hcf.toml").write_text(text, encoding="utf-8")
    return load_settings(root / "hcf.toml", environ=environ)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    shutil.copytree(SAMPLE, tmp_path / "clone" / IN_CLONE)
    return tmp_path / "clone"


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (FOREIGN, {}),
        ("", {"HCF_CORPUS__HOST_LABELS": "别人", "HCF_CORPUS__DATE_PATTERN": "(?P<year>.)(?P<month>.)(?P<day>.)"}),
        ("", {"HCF_CORPUS__PATH": "elsewhere", "HCF_CHAT__PERSONA_PROMPT": "x", "HCF_RETRIEVAL__TODAY": "2025-01-01"}),
    ],
)
def test_the_demos_corpus_is_that_of_a_fresh_clone_wherever_it_was_set(
    clone: Path, text: str, environ: dict[str, str]
) -> None:
    fresh = load(clone, (ROOT / "hcf.toml").read_text(encoding="utf-8"))
    own = load(clone, text, **environ)
    demo = demo_settings(own, sample_of(clone))
    assert demo.corpus_path == fresh.corpus_path
    assert demo.reads("corpus") == fresh.reads("corpus") and demo.sections.corpus.git_url == ""
    assert demo.question_files == {} and demo.reads("chat.persona_prompt") == fresh.reads("chat.persona_prompt")
    assert demo.sections.retrieval.today is None
    assert demo.home == clone / ".hcf-demo" != own.home


def test_the_machine_and_the_models_stay_the_users(clone: Path) -> None:
    own = load(clone, 'profile = "qwen"\n' + FOREIGN)
    demo = demo_settings(own, sample_of(clone))
    kept = ("profile", "base", "encoder", "lora", "run", "serve", "hub", "refresh", "sft", "chunks")
    assert all(getattr(demo.sections, name) == getattr(own.sections, name) for name in kept)
    assert (demo.sections.chat.device, demo.sections.retrieval.top_k) == ("cpu", 3)


def test_a_fresh_clone_keeps_its_own_home(clone: Path) -> None:
    for path in ("data/sample", "./data/../data/sample", str(clone / "data" / "sample")):
        own = load(clone, f"[corpus]\npath = {json.dumps(path)}\n[run]\nthreads = 1\n")
        assert demo_settings(own, sample_of(clone)) == own


def test_a_project_elsewhere_takes_the_sample_of_the_clone_whose_code_runs(tmp_path: Path) -> None:
    (tmp_path / "data" / "sample").mkdir(parents=True)  # of the user's own, and no sample of ours
    own = load(tmp_path, FOREIGN)
    demo = demo_settings(own, sample_of(tmp_path))
    assert demo.corpus_path == SAMPLE and demo.home == tmp_path / ".hcf-demo"
    assert demo.reads("corpus") == {
        f"corpus.{k}": v
        for k, v in CorpusSettings().model_dump(mode="json").items()
        if k not in ("path", "git_url", "link")
    }


def test_without_a_sample_the_clone_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hcf_pipeline.cli.demo.__file__", str(tmp_path / "site-packages" / "hcf_pipeline" / "cli" / "demo.py")
    )
    with pytest.raises(UserError, match="in a clone of the project"):
        sample_of(tmp_path)


@pytest.mark.slow
def test_the_demo_answers_in_a_project_that_init_wrote_for_other_transcripts(
    finished: Finished, tmp_path: Path
) -> None:
    """What a demo makes is there already, so that it takes seconds; one of its own corpus would make everything anew."""
    project = Project(tmp_path)
    for day in (1, 2, 3):
        text = "\n\n".join(["小李：老师好，能讲讲怎么种番茄吗", "陈老师：番茄要先育苗，十五天以后再移栽。"] * 3)
        (tmp_path / "直播").mkdir(exist_ok=True)
        (tmp_path / "直播" / f"2025-02-0{day}.md").write_text(text, encoding="utf-8")
    assert project.hcf("init", "直播").returncode == 0
    written = (tmp_path / "hcf.toml").read_text(encoding="utf-8")
    (tmp_path / "hcf.toml").write_text(written + SMALL.replace('[corpus]\npath = "corpus"\n', ""), encoding="utf-8")
    shutil.copytree(finished.project.home, tmp_path / ".hcf-demo", symlinks=True)
    done = project.hcf("--lang", "en", "demo")
    assert done.returncode == 0, done.stderr
    assert "0 assets made" in done.stdout and done.stdout.count("Q: ") == 3 and "江照野" in done.stdout
    assert "hcf chat --home .hcf-demo" in done.stdout and not (project.home / "faiss_index").exists()


@pytest.mark.parametrize("command", [["check"], ["corpus", "fetch"], ["refresh"], ["ask", "什么"]])
def test_without_an_hcf_toml_the_one_way_on_is_said(tmp_path: Path, command: list[str]) -> None:
    done = Project(tmp_path).hcf("--lang", "en", *command)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said
    assert "hcf init FOLDER" in said or command[0] == "corpus"
    if command[0] == "check":  # the machine is looked at all the same
        assert "main memory" in said and "disk" in said


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    done = Project(tmp_path).hcf("--lang", "en", "--config", "mine.toml", "check")
    assert done.returncode == 1 and f"There is no {tmp_path / 'mine.toml'}" in done.stderr
