"""What Dagster loads: the pipeline of the hcf.toml in the working folder (or HCF_CONFIG, HCF_PROFILE, HCF_HOME)."""

from hcf_pipeline.defs.build import build_definitions
from hcf_pipeline.settings.file import load_settings

defs = build_definitions(load_settings())
