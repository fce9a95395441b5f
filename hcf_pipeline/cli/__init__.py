"""The command line, `hcf`."""

from hcf_pipeline.cli.app import main

__all__ = ["main"]
