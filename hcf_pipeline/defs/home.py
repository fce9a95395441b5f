"""The folder where artifacts and Dagster's storage live, and its `dagster.yaml`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from hcf_pipeline.errors import unwritable
from hcf_pipeline.files import replace_text
from hcf_pipeline.settings import Settings
from hcf_pipeline.store.leases import writing

HEADER = "# Written by hcf. Delete this line to keep changes of your own."

TEMPLATE = """{header}
telemetry:
  enabled: false
concurrency:
  pools:
    default_limit: 1
    granularity: op
  runs:
    max_concurrent_runs: 4
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
run_monitoring:
  enabled: true
  max_runtime_seconds: {max_runtime_s}
  free_slots_after_run_end_seconds: 60
scheduler:
  module: dagster._core.scheduler
  class: DagsterDaemonScheduler
  config:
    max_catchup_runs: 1
retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 7
      failure: 30
      success: 90
nux:
  enabled: false
"""


def prepare_home(settings: Settings) -> Path:
    """Makes the home folder and its dagster.yaml; a dagster.yaml whose first line is not ours is left alone."""
    text = TEMPLATE.format(header=HEADER, max_runtime_s=int(settings.sections.refresh.max_runtime_hours * 3600))
    file = settings.home / "dagster.yaml"
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        if not os.access(settings.home, os.W_OK):  # SQLite would say that it cannot open its file
            read_only = os.name != "nt" and os.statvfs(settings.home).f_flag & os.ST_RDONLY
            code = errno.EROFS if read_only else errno.EACCES
            raise OSError(code, os.strerror(code))
        written = file.read_text(encoding="utf-8") if file.is_file() else None
        if written is None or (written.startswith(HEADER) and written != text):
            with writing(settings.home):
                replace_text(file, text)
    except OSError as error:
        raise unwritable(settings.home, error) from error
    return settings.home


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this home, the one that `hcf ui` shows."""
    home = prepare_home(settings)
    os.environ["DAGSTER_HOME"] = str(home)  # a training process finds the same storage
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance
