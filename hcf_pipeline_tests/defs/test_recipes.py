"""What counts in the recipes: each setting that changes a result, the libraries, the machine; and nothing else."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest

from hcf_pipeline.asset_names import (
    BASE_MODEL,
    ENCODER_MODEL,
    FAISS_INDEX,
    LORA_ADAPTER,
    MADE,
    RELEASE,
    RETRIEVAL_SCORECARD,
    SOURCES,
)
from hcf_pipeline.defs import recipes as recipes_module
from hcf_pipeline.defs.recipes import recipes
from hcf_pipeline.defs.why import why_stale
from hcf_pipeline.machine import libraries
from hcf_pipeline.machine.hardware import has_cuda
from hcf_pipeline.settings import Sections
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline.settings.types import Kind, Section
from hcf_pipeline.store import Recipe, Store


def made(folder: Path, profile: str = "embedded", **environ: str) -> Mapping[str, Recipe]:
    (folder / "hcf.toml").touch()
    return recipes(load_settings(folder / "hcf.toml", profile=profile, environ=environ))


def changed(before: Mapping[str, Recipe], now: Mapping[str, Recipe]) -> set[str]:
    return {name for name in before if before[name].code_version != now[name].code_version}


def all_of(kind: Kind) -> set[str]:
    return {
        f"{name}.{key}"
        for name, field in Sections.model_fields.items()
        if isinstance(section := field.annotation, type) and issubclass(section, Section)
        for key, one in section.kinds().items()
        if one is kind
    }


def test_every_asset_has_a_recipe(tmp_path: Path) -> None:
    assert set(made(tmp_path)) == {*MADE, *SOURCES}


def test_each_setting_that_changes_a_result_stands_in_some_recipe_and_none_that_changes_a_run(tmp_path: Path) -> None:
    read = {
        name
        for profile, url in (("embedded", ""), ("qwen", ""), ("qwen", "http://127.0.0.1:1/v1"))
        for recipe in made(tmp_path, profile, HCF_ENCODER__BASE_URL=url).values()
        for name in recipe.settings
    }
    assert all_of(Kind.RESULT) - read == set()
    assert all_of(Kind.RUN) & read == {"encoder.base_url"}  # that there is one, never which


def test_each_setting_that_changes_an_answer_is_pinned_by_the_release(tmp_path: Path) -> None:
    assert all_of(Kind.SERVING) - set(made(tmp_path)[RELEASE].settings) == set()


@pytest.mark.parametrize("name", ["CHECKPOINT_STEPS", "HELD_OUT_SAMPLES"])
def test_what_changes_no_weight_trains_nothing(tmp_path: Path, name: str) -> None:
    assert changed(made(tmp_path), made(tmp_path, **{f"HCF_LORA__{name}": "7"})) == set()


def test_what_quantize_comes_to_counts_and_not_that_it_was_left_open(tmp_path: Path) -> None:
    cpu, cuda = made(tmp_path, HCF_CHAT__DEVICE="cpu"), made(tmp_path, HCF_CHAT__DEVICE="cuda")
    assert changed(cpu, cuda) == {LORA_ADAPTER}
    assert cpu[LORA_ADAPTER].settings["base.quantize"] == "none"
    assert {"base.quantize": "4bit", "library bitsandbytes": minor("bitsandbytes")}.items() <= cuda[
        LORA_ADAPTER
    ].settings.items()
    assert changed(cpu, made(tmp_path, HCF_BASE__QUANTIZE="none")) == set()
    assert changed(cuda, made(tmp_path, HCF_BASE__QUANTIZE="4bit")) == set()
    assert changed(cuda if has_cuda() else cpu, made(tmp_path)) == set()


def minor(name: str) -> str:
    return ".".join(metadata.version(name).split(".")[:2])


def install(folder: Path, name: str, version: str | None) -> None:
    """Another release of a library, found before the one that is installed; None: gone again."""
    for old in folder.glob(f"{name.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(old)
    if version is not None:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    importlib.invalidate_caches()


def test_another_minor_version_of_a_library_counts_where_it_matters_and_a_patch_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, was = made(tmp_path), minor("peft")
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "peft", f"{was}.99")
    assert changed(before, made(tmp_path)) == set()
    install(tmp_path, "peft", "0.1.0")
    now = made(tmp_path)
    assert changed(before, now) == {LORA_ADAPTER, "sample_answers"}
    store = Store(tmp_path)
    (why,) = why_stale(store, before[LORA_ADAPTER], now[LORA_ADAPTER])
    assert why.en == f"library peft {was} → 0.1" and why.zh.startswith("库 peft ")
    install(tmp_path, "peft", None)
    install(tmp_path, "faiss-cpu", "9.9.9+cpu")
    assert changed(before, made(tmp_path)) == {FAISS_INDEX}
    assert made(tmp_path)[FAISS_INDEX].settings["library faiss-cpu"] == "9.9"
    install(tmp_path, "faiss-cpu", None)
    monkeypatch.setattr(unicodedata, "unidata_version", "99.0.0")
    assert changed(before, made(tmp_path)) == {FAISS_INDEX}


def test_every_library_that_counts_is_one_that_the_package_needs(tmp_path: Path) -> None:
    named = {name for names in libraries.LIBRARIES.values() for name in names} - {libraries.UNICODE}
    assert "none" not in {libraries.minor_version(name) for name in named}
    assert libraries.minor_version("no-such-library") == "none"


def test_a_model_that_is_not_fitted_here_depends_on_no_library(tmp_path: Path) -> None:
    qwen = made(tmp_path, "qwen")
    for name in (BASE_MODEL, ENCODER_MODEL):
        assert not any(entry.startswith("library") for entry in qwen[name].settings)
        assert any(entry.startswith("library") for entry in made(tmp_path)[name].settings)


def test_question_files_of_one_name_count_each(tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "q.jsonl")
        files[-1].write_text(folder, encoding="utf-8")
    given = {"HCF_RETRIEVAL__QUESTIONS": '["a/q.jsonl", "b/q.jsonl"]'}
    before = made(tmp_path, **given)
    assert {"file a/q.jsonl", "file b/q.jsonl"} <= before[RETRIEVAL_SCORECARD].settings.keys()
    for file in files:
        was = file.read_text(encoding="utf-8")
        file.write_text("another", encoding="utf-8")
        now = made(tmp_path, **given)
        assert changed(before, now) == {RETRIEVAL_SCORECARD}
        (why,) = why_stale(Store(tmp_path), before[RETRIEVAL_SCORECARD], now[RETRIEVAL_SCORECARD])
        assert why.en == f"file {file.relative_to(tmp_path)} changed"
        file.write_text(was, encoding="utf-8")
    assert changed(before, made(tmp_path, **given)) == set()


def test_nothing_heavy_is_imported_for_a_recipe() -> None:
    code = (
        "import sys, pathlib; from hcf_pipeline.defs.recipes import recipes; from hcf_pipeline.settings.file import load_settings\n"
        f"recipes(load_settings(pathlib.Path({str(Path(recipes_module.__file__).parents[2] / 'hcf.toml')!r}), environ={{}}))\n"
        "print(sorted({'torch', 'transformers', 'faiss', 'peft', 'trl', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
