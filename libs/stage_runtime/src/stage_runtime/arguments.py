"""Flags of a stage, made from its settings."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from stage_runtime.exits import WrongSettings
from stage_runtime.fields import Setting

SURROUNDINGS = """\
secrets:
  Settings with a Vault key come from Vault when VAULT_ADDR is set (VAULT_ROLE, VAULT_SECRET_PATH,
  VAULT_PATH_AUTH, VAULT_TOKEN_FILE, VAULT_CACERT, VAULT_WAIT_SECONDS), else from files
  SECRETS_DIR/<key>, else from the environment. A flag is visible to everybody on the machine: give
  no secret by one.

exit codes:
  0 done, 1 unexpected or a service out of reach, 2 wrong settings or credentials, 3 unusable input,
  4 stopped early with the state saved, 5 the gate refused the candidate.
"""


class Parser(argparse.ArgumentParser):
    """argparse that raises WrongSettings instead of writing to stderr and leaving."""

    def error(self, message: str) -> NoReturn:
        raise WrongSettings(f"{message[:1].upper()}{message[1:]}. See python -m {self.prog_name} --help.")

    @property
    def prog_name(self) -> str:
        return self.prog.removeprefix("python -m ")


def make_parser(settings: Sequence[Setting], prog: str, purpose: str) -> Parser:
    """A parser with one flag a setting (booleans: --x, --x=false, --no-x), all optional."""
    parser = Parser(
        prog=f"python -m {prog}",
        description=purpose,
        epilog=SURROUNDINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    group = parser.add_argument_group("settings", "flag (variable, default): flags win over variables")
    for setting in settings:
        text = f"{setting.description} ({setting.env}, {_default(setting)})".replace("%", "%%")
        if setting.boolean:
            group.add_argument(
                setting.flag, dest=setting.field, nargs="?", const="true", metavar="BOOL", help=text
            )
            group.add_argument(
                "--no-" + setting.flag[2:],
                dest=setting.field,
                action="store_const",
                const="false",
                help=argparse.SUPPRESS,
            )
        else:
            group.add_argument(setting.flag, dest=setting.field, metavar=_metavar(setting), help=text)
    return parser


def _default(setting: Setting) -> str:
    shown = setting.default if setting.required else f"default {setting.default}"
    return f"{shown}, Vault key {setting.vault_key}" if setting.vault_key else shown


def _metavar(setting: Setting) -> str:
    return "A,B" if setting.listed else setting.field.rsplit("_", 1)[-1].upper()


def read_flags(settings: Sequence[Setting], argv: Sequence[str], prog: str, purpose: str) -> dict[str, str]:
    """The flags that were given, by field. Raises WrongSettings for an unknown one, SystemExit(0)
    for --help.
    """
    given = make_parser(settings, prog, purpose).parse_args(list(argv))
    return {name: text for name, text in vars(given).items() if text is not None}
