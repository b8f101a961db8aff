"""One frozen, typed settings object per stage, built once in main; nothing else reads the
environment.

A stage declares its settings as fields with a description; each has an environment variable (the
field's name in capitals) and a flag (--the-name). What wins:

    flag > Vault (where VAULT_ADDR is set) or file SECRETS_DIR/<key> > environment variable >
    default

Vault and files are asked only for fields that have a Vault key: those named in vault_keys, or with
json_schema_extra={"vault": "<key>"} where the key differs from the field's name. An empty variable
counts as not set.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from stage_runtime.arguments import read_flags
from stage_runtime.exits import WrongSettings
from stage_runtime.fields import Setting, parsed, settings_of
from stage_runtime.logs import LogFormat, adjust_logs
from stage_runtime.redaction import redact, register_secret
from stage_runtime.vault import VaultClient, VaultSettings


class StageSettings(BaseModel):
    """Base of every stage's settings: frozen, unknown names refused, secrets never shown when
    printed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)
    vault_keys: ClassVar[frozenset[str]] = frozenset()

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="least level that is logged"
    )
    log_format: LogFormat = Field(
        default="auto", description="json, text, or auto: JSON lines unless stdout is a terminal"
    )


S = TypeVar("S", bound=StageSettings)


def load_settings(
    settings_class: type[S],
    argv: Sequence[str],
    prog: str,
    *,
    environ: Mapping[str, str] | None = None,
    vault: VaultClient | None = None,
) -> S:
    """Build a stage's settings from its arguments and its surroundings.

    prog is the module's name, with the command where there is one ("ml_training train"). --help
    prints every setting and raises SystemExit(0). Every secret is registered, so that no later log
    line shows it. Raises WrongSettings naming the variable, what was expected and what was found;
    ServiceUnreachable without Vault.
    """
    surroundings = os.environ if environ is None else environ
    settings = settings_of(settings_class)
    flags = read_flags(settings, argv, prog, (settings_class.__doc__ or "").strip().splitlines()[0])
    stored = _stored(settings, surroundings, vault)
    values: dict[str, str] = {}
    origin: dict[str, str] = {}
    for setting in settings:
        if setting.field in flags:
            values[setting.field] = flags[setting.field]
            origin[setting.field] = setting.flag
        elif setting.vault_key is not None and setting.vault_key in stored:
            values[setting.field], origin[setting.field] = stored[setting.vault_key]
        elif surroundings.get(setting.env):
            values[setting.field] = surroundings[setting.env]
            origin[setting.field] = setting.env
        if setting.secret and setting.field in values:
            register_secret(values[setting.field])
    by_name = {setting.field: setting for setting in settings}
    try:
        made = settings_class.model_validate(
            {name: parsed(by_name[name], text) for name, text in values.items()}
        )
    except ValidationError as error:
        problems = [_problem(one, by_name, values, origin) for one in error.errors(include_url=False)]
        text = "; ".join(dict.fromkeys(problems))
        raise WrongSettings(
            redact(f"{text}. See python -m {prog} --help or the table of settings in the README.")
        ) from None
    _apply(made)
    return made


def _stored(
    settings: Sequence[Setting], environ: Mapping[str, str], vault: VaultClient | None
) -> dict[str, tuple[str, str]]:
    """Vault key -> (value, where it came from), from Vault or else from files; both may lack
    optional ones.
    """
    keys = {setting.vault_key for setting in settings if setting.vault_key is not None}
    if not keys:
        return {}
    client = vault
    if client is None:
        place = VaultSettings.from_environ(environ)
        client = VaultClient(place) if place else None
    if client is not None:
        where = client.settings.secret_path
        return {
            key: (text, f"Vault {where}, key {key}") for key, text in client.read().items() if key in keys
        }
    folder = environ.get("SECRETS_DIR")
    return _from_files(Path(folder), keys) if folder else {}


def _from_files(folder: Path, keys: set[str]) -> dict[str, tuple[str, str]]:
    if not folder.is_dir():
        raise WrongSettings(
            f"SECRETS_DIR: expected a folder with one file a secret, found no folder {folder}"
        )
    found: dict[str, tuple[str, str]] = {}
    for key in sorted(keys):
        file = folder / key
        try:
            found[key] = (file.read_text(encoding="utf-8").rstrip("\r\n"), f"file {file}")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise WrongSettings(
                f"SECRETS_DIR: expected a readable text file {file}, found {type(error).__name__}"
            ) from None
    return found


def _problem(
    error: Any,
    settings: Mapping[str, Setting],
    values: Mapping[str, str],
    origin: Mapping[str, str],
) -> str:
    """One sentence for one of pydantic's findings."""
    location = error["loc"]
    name = str(location[0]) if location else ""
    setting = settings.get(name)
    message = str(error["msg"])
    if setting is None:  # a validator of the whole object
        return message.removeprefix("Value error, ")
    if error["type"] == "missing":
        vault = f", the Vault key or file {setting.vault_key}" if setting.vault_key else ""
        return (
            f"{setting.env}: expected a value ({setting.description}), found none: "
            f"set it, {setting.flag}{vault}"
        )
    expected = message.removeprefix("Value error, ").replace("Input should be", "expected", 1)
    if not expected.startswith("expected"):
        expected = f"expected another value ({expected[:1].lower()}{expected[1:]})"
    place = origin.get(name, "the default")
    source = "" if place == setting.env else f" (from {place})"
    if name not in values or setting.secret:
        return f"{setting.env}{source}: {expected}, found a value that is not shown"
    return f"{setting.env}{source}: {expected}, found {values[name][:200]!r}"


def _apply(made: StageSettings) -> None:
    """Hide secrets that come from defaults too, and log from now on as the settings say."""
    for name in type(made).model_fields:
        value = getattr(made, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            register_secret(value.get_secret_value())
    adjust_logs(made.log_level, made.log_format)


def settings_table(settings_class: type[StageSettings], beyond: type[StageSettings] | None = None) -> str:
    """The settings as a Markdown table for the stage's README, less those that ``beyond`` has as well."""
    known = set(beyond.model_fields) if beyond else set()
    lines = ["| variable | flag | default | meaning |", "| --- | --- | --- | --- |"]
    for setting in settings_of(settings_class):
        if setting.field in known:
            continue
        meaning = setting.description or "-"
        if setting.vault_key is not None:
            meaning += f" (Vault key or file `{setting.vault_key}`)"
        default = setting.default if setting.default in {"required", "none"} else f"`{setting.default}`"
        row = (f"`{setting.env}`", f"`{setting.flag}`", default, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines) + "\n"
