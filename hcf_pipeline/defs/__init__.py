"""The Dagster layer: load, call, publish, report. What the assets do is in the rooms beside this one."""

import warnings

import dagster as dg

# Used knowingly, with dagster pinned below the next minor version; users need not read about it at every command.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
