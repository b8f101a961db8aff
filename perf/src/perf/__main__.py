"""python -m perf load | gate | watch."""

from __future__ import annotations

# Before anything else: locust replaces the socket module by gevent's.
import locust  # noqa: F401  isort: skip

import sys
from collections.abc import Sequence

from stage_runtime.exits import WrongSettings
from stage_runtime.logs import get_logger
from stage_runtime.main import run_stage
from stage_runtime.settings import load_settings

from perf.golden import check_golden, read_registered
from perf.judgement import complaints, judge, report
from perf.load import run_load
from perf.settings import GateSettings, LoadSettings, WatchSettings
from perf.watch import watch

COMMANDS = """usage: python -m perf COMMAND [--help]

  load    put a service under load; exit 5 when a bound is broken
  gate    the same, after the registered model's golden request, with a bound on the flag rate
  watch   read the service's metrics for a while; exit 5 when a bound is broken
"""


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    command, rest = (argv[0], argv[1:]) if argv else ("", ())
    if command == "load":
        settings = load_settings(LoadSettings, rest, "perf load")
        result = run_load(settings)
        report(result, settings.out, settings.host)
        judge(complaints(result, settings))
    elif command == "gate":
        gate(load_settings(GateSettings, rest, "perf gate"))
    elif command == "watch":
        watch(load_settings(WatchSettings, rest, "perf watch"))
    elif command in {"-h", "--help"}:
        sys.stdout.write(COMMANDS)
    else:
        raise WrongSettings(
            f"expected one of the commands load, gate and watch, found {command!r}.\n{COMMANDS}"
        )


def gate(settings: GateSettings) -> None:
    """Golden request, load, flag rate."""
    model = read_registered(settings)
    check_golden(settings, model)
    get_logger().info("golden request scored as stored", model_version=model.version)
    result = run_load(settings, model.words)
    found = complaints(result, settings)
    most = max(settings.most_flag_rate, settings.most_flag_rate_times * model.flag_rate)
    if result.flag_rate is None or result.flag_rate > most:
        found.append(
            f"flag rate {result.flag_rate} of ordinary pull requests, expected at most {most:.3g} "
            f"(training measured {model.flag_rate:.3g})"
        )
    try:
        report(result, settings.out, settings.host)
    except OSError as error:  # a read-only root: the figures are in the log
        get_logger().warning("The result is kept in the log only", error=type(error).__name__)
    judge(found)


if __name__ == "__main__":
    run_stage("perf", main)
