"""Dagster's in-process executor, which also notes that this process executes the run: see liveness.py.

It is the executor of every job here, so that a run is covered from before its first step, and whatever its steps are:
looks at the corpus and checks as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from hcf_pipeline.defs.automation.liveness import PROCESS, hold, this_process
from hcf_pipeline.defs.dagster_private import tag_run


@dg.executor(name="in_process", config_schema=dg.in_process_executor.config_schema.as_field())
def executor(init_context: dg.InitExecutorContext) -> dg.Executor:
    """Executes all steps of a run in one process, which holds the run's lock."""
    in_process = dg.in_process_executor.executor_creation_fn
    assert in_process is not None
    return _Holding(in_process(init_context))


class _Holding(dg.Executor):
    def __init__(self, executor: dg.Executor) -> None:
        self._executor = executor

    @property
    def retries(self) -> Any:
        return self._executor.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._executor.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """The run's lock is kept beyond the last step: the run's own last event comes after it."""
        run = plan_context.dagster_run
        hold(plan_context.instance, run.run_id)
        if PROCESS not in run.tags:
            tag_run(plan_context.instance, run.run_id, this_process())
        yield from self._executor.execute(plan_context, execution_plan)
