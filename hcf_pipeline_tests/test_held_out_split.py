"""One split of the corpus: what learnt from a broadcast is not judged by it, however the split moves afterwards."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from hcf_pipeline.corpus.held_out import HELD_OUT, HeldOut
from hcf_pipeline.defs.publishing import store_of
from hcf_pipeline.defs.refresh import refresh
from hcf_pipeline.rag.evaluation.card import CARD, QuestionSet, Scorecard
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.store import Artifact, Store
from hcf_pipeline_tests.conftest import SMALL, Project
from hcf_pipeline_tests.test_staleness import Silent

MODELS = ("base_model", "encoder_model")
THINGS = ("链条", "刹车", "后轮", "车架", "座垫", "电池", "脚踏", "车把", "灯泡", "内胎", "辐条")
TINY = (
    SMALL.replace("[base]\n", "[base]\nrefit_after = 1.0\n")
    .replace("[encoder]\n", "[encoder]\nrefit_after = 1.0\n")
    .replace("[sft]\n", "[sft]\nheld_out_share = 0.1\n")
    .replace("steps = 40", "steps = 5")
)


def write_broadcast(project: Project, day: datetime.date) -> str:
    """Four questions of that day, each with an answer; returns the file's name."""
    lines: list[str] = []
    for n in range(4):
        thing, other = THINGS[(day.day + n) % len(THINGS)], THINGS[(day.month * 3 + n * 5) % len(THINGS)]
        lines.append(f"水友：野哥，我的{thing}骑到{day.month}月{day.day}号第{n}回就响了，应该怎么办？")
        lines.append(
            f"江照野：{thing}响先看{other}，{day.day}号上油，花{n + day.month}十五块钱，别换新的，再骑骑看看。"
        )
    (project.corpus / f"{day}.md").write_text("\n\n".join(lines), encoding="utf-8")
    return f"{day}.md"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Twenty broadcasts, of which the two newest are held out."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "hcf.toml").write_text(TINY, encoding="utf-8")
    made = Project(tmp_path)
    for day in range(1, 21):
        write_broadcast(made, datetime.date(2024, 3, day))
    return made


class Home:
    """What a project's home holds now."""

    def __init__(self, project: Project, *, train: bool = True) -> None:
        settings = load_settings(project.root / "hcf.toml", environ={})
        self.ran = refresh(settings, Silent(), train=train).ran
        self.store: Store = store_of(settings)

    def of(self, asset: str) -> Artifact:
        artifact = self.store.current(asset)
        assert artifact is not None
        return artifact

    @property
    def models(self) -> list[str]:
        return [self.of(model).version for model in MODELS]

    @property
    def held_out(self) -> set[str]:
        return set(HeldOut.load(self.of("held_out_split").file(HELD_OUT)).dates)

    @property
    def guests(self) -> QuestionSet:
        return next(s for s in Scorecard.load(self.of("retrieval_scorecard").file(CARD)).sets if s.name == "guests")


@pytest.mark.slow
def test_older_broadcasts_that_are_filled_in_leave_nothing_judged_by_what_was_learnt(project: Project) -> None:
    first = Home(project)
    models = first.models
    assert first.held_out == {"2024-03-19.md", "2024-03-20.md"}
    adapter = first.of("lora_adapter").metadata
    assert adapter["n_held_out_samples"] and adapter["n_left_out"] == 0
    assert (first.guests.n_answerable, first.guests.n_left_out) == (8, 0)
    assert first.of("base_model").metadata["broadcasts_seen"] == 18

    for day in range(1, 11):  # ten older ones: a third is held out, which both models were fitted on
        write_broadcast(project, datetime.date(2024, 2, day))
    second = Home(project)
    assert {"held_out_split", "sft_dataset", *MODELS} <= set(second.ran) and second.models == models
    assert second.held_out == {"2024-03-18.md", "2024-03-19.md", "2024-03-20.md"}
    adapter = second.of("lora_adapter").metadata
    per_broadcast = second.of("sft_dataset").metadata["n_held_out"] / 3
    assert adapter["n_left_out"] == per_broadcast
    assert adapter["n_held_out_samples"] == min(2 * per_broadcast, 4)  # [lora] held_out_samples
    assert (second.guests.n_answerable, second.guests.n_left_out) == (8, 4)

    for day in (18, 19, 20):  # now the newest are gone, and what is held out was learnt, all of it
        (project.corpus / f"2024-03-{day}.md").unlink()
    third = Home(project, train=False)
    assert third.held_out == {"2024-03-16.md", "2024-03-17.md"}
    assert third.of("encoder_model").version == models[1]
    assert (third.guests.n_answerable, third.guests.n_left_out, third.guests.stages) == (0, 8, ())
    scorecard = third.of("retrieval_scorecard").metadata
    assert scorecard["guests left out"] == 8


@pytest.mark.slow
def test_a_renamed_broadcast_that_was_learnt_is_known_again_where_it_is_held_out(project: Project) -> None:
    models = Home(project).models
    (project.corpus / "2024-03-05.md").rename(project.corpus / "2024-04-01.md")
    moved = Home(project)
    assert moved.models == models and moved.held_out == {"2024-03-20.md", "2024-04-01.md"}
    adapter, n_held_out = moved.of("lora_adapter").metadata, moved.of("sft_dataset").metadata["n_held_out"]
    assert adapter["n_left_out"] == adapter["n_held_out_samples"] == n_held_out / 2
    assert (moved.guests.n_answerable, moved.guests.n_left_out) == (4, 4)


@pytest.mark.slow
def test_another_share_moves_the_split_and_both_models_look_and_keep(project: Project) -> None:
    models = Home(project).models
    settings = load_settings(project.root / "hcf.toml", environ={"HCF_SFT__HELD_OUT_SHARE": "0.101"})
    assert refresh(settings, Silent()).ran == ("held_out_split",)  # the same list
    settings = load_settings(project.root / "hcf.toml", environ={"HCF_SFT__HELD_OUT_SHARE": "0.15"})
    ran = refresh(settings, Silent()).ran
    assert {"held_out_split", "sft_dataset", "lora_adapter", "retrieval_scorecard", *MODELS} <= set(ran)
    store = store_of(settings)
    assert [artifact.version for model in MODELS if (artifact := store.current(model))] == models
