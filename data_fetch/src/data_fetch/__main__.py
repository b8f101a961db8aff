"""python -m data_fetch"""

from typing import NoReturn

from stage_runtime.main import run_stage

from data_fetch.cli import main


def run() -> NoReturn:
    """Run the stage and leave with its exit code."""
    run_stage("data_fetch", main)


if __name__ == "__main__":
    run()
