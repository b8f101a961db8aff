"""Keeping the table of settings in a README equal to the code.

    python -m stage_runtime.readme data_fetch.settings:Settings data_fetch/README.md [--check]

The table stands between the marker lines; a class for a command adds its name: <!-- settings train
-->.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path

from stage_runtime.exits import ExitCode, UnusableInput, WrongSettings
from stage_runtime.main import run_stage
from stage_runtime.settings import StageSettings, settings_table


def with_table(text: str, table: str, command: str = "") -> str:
    """The README's text with the table between its markers; WrongSettings without markers."""
    name = f"settings {command}".strip()
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise WrongSettings(f"Expected the lines {start.strip()} and {end} once each in the README")
    head, rest = text.split(start)
    return f"{head}{start}\n{table}\n{end}{rest.split(end)[1]}"


def main(argv: Sequence[str]) -> ExitCode:
    """MODULE:CLASS README [COMMAND] [--check]"""
    names = [arg for arg in argv if arg != "--check"]
    if len(names) not in {2, 3} or ":" not in names[0]:
        raise WrongSettings(f"Expected MODULE:CLASS README [COMMAND] [--check], found {' '.join(argv)!r}")
    module, _, name = names[0].partition(":")
    settings = getattr(importlib.import_module(module), name)
    if not issubclass(settings, StageSettings):
        raise WrongSettings(f"Expected a settings class, found {names[0]}")
    readme = Path(names[1])
    old = readme.read_text(encoding="utf-8")
    new = with_table(old, settings_table(settings), *names[2:])
    if "--check" in argv and new != old:
        raise UnusableInput(f"{readme} does not show the settings of {names[0]}: run this without --check")
    if new != old:
        readme.write_text(new, encoding="utf-8")
    return ExitCode.DONE


if __name__ == "__main__":
    run_stage("readme", main)
