"""The Dagster layer: load, call, publish, report. What the assets do is in the rooms beside this one."""
