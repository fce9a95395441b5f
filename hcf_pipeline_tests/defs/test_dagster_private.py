"""What this package expects of Dagster's private parts. After an upgrade of Dagster each failure here names the place.

All of them are in `hcf_pipeline/defs/dagster_private.py`; mend them there.
"""

import ast
import datetime
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

import hcf_pipeline
from hcf_pipeline.defs import dagster_private
from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.defs.dagster_private import (
    fail_run,
    failed_steps,
    free_pool_slots,
    is_cron,
    is_failed_check,
    job_of_all_assets,
    last_check_failed,
    last_tick,
    lineage_of,
    listen,
    nodes_defined,
    tag_run,
)
from hcf_pipeline.defs.home import dagster_instance
from hcf_pipeline.defs.publishing import recipe_now
from hcf_pipeline.settings.file import load_settings
from hcf_pipeline_tests.defs.small_graph import PARENTS, Small, small_graph

PACKAGE = Path(hcf_pipeline.__file__).parent
PRIVATE = Path(dagster_private.__file__)
UNDOCUMENTED = {  # attributes of Dagster's objects that only `dagster_private` may use
    "add_event_listener",
    "add_run_tags",
    "all_logs",
    "event_log_storage",
    "get_step_execution_context",
    "report_run_failed",
    "resolve_asset_graph",
    "resolve_implicit_global_asset_job_def",
    "specs_by_key",
    "toposorted_asset_keys",
}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    with small_graph(tmp_path) as small:
        small.see("v1")
        yield small


def test_nothing_but_one_module_reaches_into_dagster() -> None:
    for file in PACKAGE.rglob("*.py"):
        if file == PRIVATE:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file}:{getattr(node, 'lineno', 0)}: belongs into {PRIVATE.name}"
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("dagster._"), where
            elif isinstance(node, ast.Import):
                assert not any(name.name.startswith("dagster._") for name in node.names), where
            elif isinstance(node, ast.Attribute):
                assert node.attr not in UNDOCUMENTED, where


def test_the_graph_tells_order_parents_code_versions_and_metadata(small: Small) -> None:
    nodes = {node.name: node for node in nodes_defined(small.defs())}
    order = list(nodes)
    assert {name: sorted(node.parents) for name, node in nodes.items()} == {"raw": [], **PARENTS}
    assert all(order.index(parent) < order.index(name) for name, node in nodes.items() for parent in node.parents)
    assert [name for name, node in nodes.items() if node.observed_only] == ["raw"]
    assert nodes["left"].code_version == small.recipe("left").code_version
    assert recipe_now(nodes["left"], {}) == small.recipe("left")


def test_a_materialization_records_the_versions_of_code_inputs_and_content(small: Small) -> None:
    assert lineage_of(small.instance, "left") is None
    small.run("left", "right", "both")
    left, both = lineage_of(small.instance, "left"), lineage_of(small.instance, "both")
    made = small.store.current("both")
    assert left and both and made
    assert left.inputs == {"raw": "v1"}
    assert both.inputs == {name: small.store.current(name).version for name in ("left", "right")}  # type: ignore[union-attr]
    assert both.version == made.version and both.code_version == small.recipe("both").code_version


def test_a_step_knows_which_versions_of_its_inputs_will_be_recorded_and_can_look_again(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, str | None]] = []

    @dg.asset(deps=["raw", "never_seen"], code_version="1+a")
    def step(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        told.append(dagster_private.recorded_inputs(context))
        small.see("v2")
        told.append(dagster_private.recorded_inputs(context))
        dagster_private.look_up_inputs_again(context)
        told.append(dagster_private.recorded_inputs(context))
        assert dagster_private.runs_in_this_process(context)
        return dg.MaterializeResult(data_version=dg.DataVersion("made"))

    others = [asset for asset in small.defs().assets or () if asset.key == dg.AssetKey("raw")]  # type: ignore[union-attr]
    defs = dg.Definitions(assets=[*others, step], executor=dg.in_process_executor)
    job = job_of_all_assets(defs)
    assert job.execute_in_process(instance=small.instance, asset_selection=[dg.AssetKey("step")]).success
    assert told == [
        {"raw": "v1", "never_seen": None},
        {"raw": "v1", "never_seen": None},
        {"raw": "v2", "never_seen": None},
    ]
    made = lineage_of(small.instance, "step")
    assert made and made.inputs == {"raw": "v2", "never_seen": dagster_private.NEVER_SEEN}


def test_the_job_of_all_assets_runs_any_selection_and_tells_a_listener_of_its_steps(small: Small) -> None:
    heard: list[str] = []

    def hear(entry: dg.EventLogEntry) -> None:
        if entry.is_dagster_event and entry.dagster_event_type == dg.DagsterEventType.STEP_SUCCESS:
            heard.append(str(entry.step_key))

    run = "00000000-0000-0000-0000-000000000001"
    listen(small.instance, run, hear)
    keys = [dg.AssetKey("left"), dg.AssetKey("right")]
    job_of_all_assets(small.defs()).execute_in_process(instance=small.instance, run_id=run, asset_selection=keys)
    assert sorted(heard) == ["left", "right"]


def test_a_run_can_be_tagged_and_failed_and_tells_a_failed_step_from_none(small: Small) -> None:
    job = job_of_all_assets(small.defs())
    killed = small.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    tag_run(small.instance, killed.run_id, {"a": "b"})
    fail_run(small.instance, killed, "it was killed")
    free_pool_slots(small.instance, killed.run_id)
    now = small.instance.get_run_by_id(killed.run_id)
    assert now and now.status == dg.DagsterRunStatus.FAILURE and now.tags["a"] == "b"
    assert not failed_steps(small.instance, killed.run_id)
    small.failing = {"left"}
    small.run("left")
    (failed,) = small.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)
    assert failed.run_id != killed.run_id and failed_steps(small.instance, failed.run_id)


def test_a_blocking_check_that_fails_ends_the_run_with_an_error_that_is_known(small: Small) -> None:
    passes: list[bool] = []

    @dg.asset_check(asset="left", name="holds", blocking=True)
    def holds() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=passes.pop())

    defs = dg.Definitions.merge(small.defs(), dg.Definitions(asset_checks=[holds]))
    key = dg.AssetCheckKey(dg.AssetKey("left"), "holds")
    assert not last_check_failed(small.instance, key)
    passes.append(False)
    with pytest.raises(Exception) as failure:
        job_of_all_assets(defs).execute_in_process(
            instance=small.instance, asset_selection=[dg.AssetKey("left"), dg.AssetKey("both")]
        )
    assert is_failed_check(failure.value) and last_check_failed(small.instance, key)
    passes.append(True)
    job_of_all_assets(defs).execute_in_process(instance=small.instance, asset_selection=[dg.AssetKey("left")])
    assert not last_check_failed(small.instance, key)
    assert not is_failed_check(ValueError())


@pytest.mark.parametrize(
    ("cron", "valid"), [("0 4 * * *", True), ("*/5 1-3 * * MON", True), ("99 4 * * *", False), ("0 4 * *", False)]
)
def test_a_cron_expression_is_told_from_what_is_none(cron: str, valid: bool) -> None:
    assert is_cron(cron) == valid


def test_the_last_tick_is_the_one_before_now_in_the_zone_of_the_schedule() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    now = datetime.datetime(2026, 3, 2, 3, 59, tzinfo=zone)  # a Monday
    yesterday = datetime.datetime(2026, 3, 1, 4, 0, tzinfo=zone)
    assert last_tick("0 4 * * *", "Asia/Shanghai", now.timestamp()) == yesterday.timestamp()
    monday_before = datetime.datetime(2026, 2, 23, 5, 0, tzinfo=zone)
    assert last_tick("0 5 * * 1", "Asia/Shanghai", now.timestamp()) == monday_before.timestamp()


def test_the_classes_that_dagster_yaml_names_are_there(tmp_path: Path) -> None:
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    with dagster_instance(load_settings(tmp_path / "hcf.toml", environ={})) as instance:
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert type(instance.scheduler).__name__ == "DagsterDaemonScheduler"
        assert instance.get_settings("retention")["sensor"]["purge_after_days"]["skipped"] == 7


def test_the_graph_of_the_automations_sensor_is_the_one_of_the_definitions(
    tmp_path: Path,
) -> None:
    (tmp_path / "hcf.toml").write_text("", encoding="utf-8")
    settings = load_settings(tmp_path / "hcf.toml", environ={})
    repository = build_definitions(settings).get_repository_def()
    assert dagster_private.nodes_of(repository.asset_graph) == nodes_defined(build_definitions(settings))
    sensor = repository.get_sensor_def("keep_up_to_date")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, repository_def=repository) as context,
    ):
        assert sensor.evaluate_tick(context).cursor  # the conditions of all assets were evaluated
