"""What Dagster loads."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from hcf_pipeline.asset_names import MADE, SOURCES
from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.settings.file import load_settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hcf_pipeline"
TABLES = {"turn_table", "parsed_pairs", "sft_dataset", "chunk_table"}


@pytest.fixture(params=["embedded", "qwen"])
def definitions(request: pytest.FixtureRequest, tmp_path: Path) -> dg.Definitions:
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    return build_definitions(load_settings(tmp_path / "hcf.toml", profile=request.param, environ={}))


def test_the_graph_holds_every_asset(definitions: dg.Definitions) -> None:
    assert {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()} == {*MADE, *SOURCES}


def test_every_asset_says_what_it_is_whose_it_is_and_where_its_code_is(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        name = spec.key.to_user_string()
        assert spec.description and spec.group_name and spec.kinds and spec.owners and spec.code_version, name
        if name != "raw_transcripts":
            assert "dagster/code_references" in spec.metadata, name
        if name in TABLES:
            assert spec.metadata["dagster/column_schema"].columns, name


def test_pairs_feed_the_models_only_where_the_models_are_built_from_them(tmp_path: Path) -> None:
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    for profile, feeds in (("embedded", True), ("qwen", False)):
        graph = build_definitions(
            load_settings(tmp_path / "hcf.toml", profile=profile, environ={})
        ).resolve_asset_graph()
        for model in ("base_model", "encoder_model"):
            parents = graph.get(dg.AssetKey(model)).parent_keys
            assert (dg.AssetKey("parsed_pairs") in parents) == feeds


def test_automation_is_off_until_it_is_switched_on(tmp_path: Path) -> None:
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    for on in (False, True):
        environ = {"HCF_REFRESH__AUTOMATION": str(on).lower()}
        definitions = build_definitions(load_settings(tmp_path / "hcf.toml", environ=environ))
        schedule = definitions.resolve_schedule_def("nightly_refresh")
        sensor = definitions.resolve_sensor_def("new_transcripts")
        assert (schedule.default_status == dg.DefaultScheduleStatus.RUNNING) == on
        assert (sensor.default_status == dg.DefaultSensorStatus.RUNNING) == on


def test_the_name_of_an_asset_is_written_in_one_module() -> None:
    names = {*MADE, *SOURCES} - {"release"}  # which is a command, a pool and a key of JSON too
    found = {
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert {line.partition(":")[0] for line in found} == {"hcf_pipeline/asset_names.py"}, sorted(found)


def test_only_warnings_of_our_own_definitions_are_silenced() -> None:
    """What is beta in Dagster is used knowingly here; a user's own definitions beside these are warned of as ever."""
    code = (
        "import warnings; warnings.simplefilter('always')\n"
        "import hcf_pipeline.definitions, dagster as dg\n"
        "print('ours are built')\n"
        "dg.AssetSelection.all(include_sources=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"HCF_HOME": ""},
    )
    assert "include_sources" in done.stderr
    assert done.stderr.count("BetaWarning") == 1, done.stderr


def test_nothing_heavy_is_imported_to_load_the_code_location() -> None:
    code = (
        "import json, sys, hcf_pipeline.definitions; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"torch", "transformers", "faiss", "datasets", "peft", "trl", "sentence_transformers"}


@pytest.mark.parametrize("arguments", [[], ["-w", "workspace.yaml"]])
def test_dagster_finds_the_definitions_from_the_root(arguments: list[str], tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("dagster")), "definitions", "validate", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HCF_", "DAGSTER_"))}
    environment["HCF_HOME"] = str(tmp_path / "home")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
