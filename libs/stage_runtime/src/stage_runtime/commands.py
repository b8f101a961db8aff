"""A stage with several commands: python -m ml_training train|evaluate|gate.

COMMANDS = {
    "train": Command(TrainSettings, train, "fit, evaluate and register a candidate"),
    "gate": Command(GateSettings, gate, "make the candidate champion or refuse it"),
}

def main(argv):
    return dispatch(COMMANDS, argv, prog="ml_training")
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stage_runtime.arguments import make_parser
from stage_runtime.exits import ExitCode, WrongSettings
from stage_runtime.fields import settings_of
from stage_runtime.settings import StageSettings, load_settings


@dataclass(frozen=True)
class Command:
    """A command: its settings class, the function that takes those settings, one line of help."""

    settings: type[StageSettings]
    run: Callable[[Any], ExitCode | int | None]
    help: str


def dispatch(
    commands: Mapping[str, Command],
    argv: Sequence[str],
    *,
    prog: str,
    environ: Mapping[str, str] | None = None,
) -> ExitCode | int | None:
    """Run the command that the first argument names, with settings from the rest.

    --help before a command lists the commands and every setting of each; after one only its own.
    Raises WrongSettings where the command is missing or unknown.
    """
    if argv and argv[0] in {"-h", "--help"}:
        print(overview(commands, prog))
        raise SystemExit(0)
    name = argv[0] if argv else ""
    if name not in commands:
        found = f"found {name!r}" if name else "found none"
        raise WrongSettings(
            f"Expected one of the commands {', '.join(commands)} as first argument, {found}. "
            f"See python -m {prog} --help."
        )
    chosen = commands[name]
    return chosen.run(load_settings(chosen.settings, argv[1:], f"{prog} {name}", environ=environ))


def overview(commands: Mapping[str, Command], prog: str) -> str:
    """Help for all commands: what each does and its settings."""
    width = max(map(len, commands))
    lines = [f"usage: python -m {prog} COMMAND [flags]", "", "commands:"]
    lines += [f"  {name:<{width}}  {command.help}" for name, command in commands.items()]
    for name, command in commands.items():
        parser = make_parser(settings_of(command.settings), f"{prog} {name}", command.help)
        lines += ["", "-" * 60, parser.format_help().rstrip()]
    return "\n".join(lines)
