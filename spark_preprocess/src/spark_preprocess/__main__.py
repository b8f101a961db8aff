"""``python -m spark_preprocess``."""

from stage_runtime.main import run_stage

from .cli import main

run_stage("spark_preprocess", main)
