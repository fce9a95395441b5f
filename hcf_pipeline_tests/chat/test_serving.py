"""Settings that change an answer: pinned, laid over those of hcf.toml, tried."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from hcf_pipeline.chat.serving import served_by, serving_settings, tried, unreleased
from hcf_pipeline.errors import SettingsError
from hcf_pipeline.settings import RetrievalSettings, Sections, Settings
from hcf_pipeline.settings.file import load_settings


def settings(tmp_path: Path, *given: str, toml: str = "") -> Settings:
    (tmp_path / "hcf.toml").write_text(toml, encoding="utf-8")
    return load_settings(tmp_path / "hcf.toml", environ={}, tried=given)


def test_what_is_pinned_goes_before_hcf_toml_and_the_rest_is_as_it_is_there(tmp_path: Path) -> None:
    released = settings(
        tmp_path, toml='[retrieval]\ntop_k = 3\ntoday = 2024-05-01\n[chat]\ntemperature = 0.1\ndevice = "cpu"\n'
    )
    pinned = json.loads(json.dumps(serving_settings(released)))
    assert {"chat.persona_prompt", "chat.seed", "encoder.query_prompt", "retrieval.top_k"} <= set(pinned)
    assert not {"chat.device", "retrieval.questions", "encoder.batch_size", "chunks.max_chars"} & set(pinned)
    now = settings(tmp_path, toml='[retrieval]\ntop_k = 9\n[chat]\ndevice = "cuda"\n[release]\nkeep = 2\n')
    served = served_by(now.sections, pinned)
    assert served.retrieval == released.sections.retrieval and served.retrieval.today == datetime.date(2024, 5, 1)
    assert (served.chat.temperature, served.chat.device, served.release.keep) == (0.1, "cuda", 2)


def test_a_pinned_name_that_is_no_setting_any_more_is_passed_over() -> None:
    sections = Sections()
    assert served_by(sections, {"retrieval.gone": 1, "nothing.here": 2, "profile.x": 3}) == sections


def test_a_released_figure_is_still_validated() -> None:
    served = served_by(Sections(), {"retrieval.top_k": 7})
    assert isinstance(served.retrieval, RetrievalSettings) and served.retrieval.top_k == 7


def test_only_what_differs_from_the_release_waits_for_one(tmp_path: Path) -> None:
    pinned = serving_settings(settings(tmp_path)) | {"base.quantize": "none"}
    changed = settings(tmp_path, toml="[retrieval]\nmin_score = 0.9\n[chunks]\nmax_chars = 300\n")
    assert list(unreleased(changed, pinned)) == [("retrieval.min_score", "auto", 0.9)]


def test_a_setting_is_tried_with_a_validated_value(tmp_path: Path) -> None:
    given = ("retrieval.top_k=3", "chat.persona_prompt=你是{persona}。")
    assert tried(settings(tmp_path, *given), ["retrieval.top_k", "chat.persona_prompt"]) == {
        "retrieval.top_k": 3,
        "chat.persona_prompt": "你是{persona}。",
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("retrieval.top_k=0", r"-s retrieval.top_k=0: \[retrieval\] top_k = 0 is not possible"),
        ("retrieval.topk=3", "Did you mean top_k"),
        ("top_k=3", "write section.key=value"),
        ("retrieval.top_k", "write section.key=value"),
    ],
)
def test_a_mistake_in_what_is_tried_is_named(tmp_path: Path, given: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        settings(tmp_path, given)


def test_what_is_built_in_cannot_be_tried(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="changes what is built"):
        tried(settings(tmp_path, "chunks.max_chars=300"), ["chunks.max_chars"])
