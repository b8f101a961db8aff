"""Keeping the tables of settings in a README equal to the code.

    python -m stage_runtime.readme data_fetch/README.md [--check]

A table stands between two marker lines, the first of which names its class:

    <!-- settings: data_fetch.settings:Settings -->
    <!-- /settings -->

`MODULE:CLASS beyond MODULE:CLASS` leaves out what the second class has as well.
"""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path

from stage_runtime.exits import ExitCode, UnusableInput, WrongSettings
from stage_runtime.main import run_stage
from stage_runtime.settings import StageSettings, settings_table

_TABLE = re.compile(r"(<!-- settings: (\S+)(?: beyond (\S+))? -->\n).*?(<!-- /settings -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """The README's text with each table as the code has it; WrongSettings without any marker."""
    if not _TABLE.search(text):
        raise WrongSettings("Expected <!-- settings: MODULE:CLASS --> and <!-- /settings --> in the README")
    return _TABLE.sub(lambda found: f"{found[1]}\n{_table(found[2], found[3])}\n{found[4]}", text)


def _table(name: str, beyond: str | None) -> str:
    return settings_table(_settings(name), _settings(beyond) if beyond else None)


def _settings(name: str) -> type[StageSettings]:
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute, None) if attribute else None
    if not (isinstance(found, type) and issubclass(found, StageSettings)):
        raise WrongSettings(f"Expected MODULE:CLASS of a settings class, found {name}")
    return found


def main(argv: Sequence[str]) -> ExitCode:
    """README [--check]"""
    names = [arg for arg in argv if arg != "--check"]
    if len(names) != 1:
        raise WrongSettings(f"Expected README [--check], found {' '.join(argv)!r}")
    readme = Path(names[0])
    old = readme.read_text(encoding="utf-8")
    new = with_tables(old)
    if new != old:
        if "--check" in argv:
            raise UnusableInput(f"{readme} does not show the settings of the code: run `make docs`")
        readme.write_text(new, encoding="utf-8")
    return ExitCode.DONE


if __name__ == "__main__":
    run_stage("readme", main)
