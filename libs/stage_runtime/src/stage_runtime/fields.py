"""What a settings field is called everywhere, and how a written value becomes one for pydantic."""

import json
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_LISTS = (list, tuple, set, frozenset)


@dataclass(frozen=True)
class Setting:
    """One field of a settings class under all its names."""

    field: str
    env: str
    flag: str
    vault_key: str | None
    secret: bool
    boolean: bool
    listed: bool
    required: bool
    default: str
    description: str


def settings_of(model: type[BaseModel]) -> list[Setting]:
    """Every setting of the class: its own in the order of the class, those of all stages last."""
    shared = {name for base in model.__mro__[1:] for name in getattr(base, "model_fields", {})}
    names = sorted(model.model_fields, key=lambda name: name in shared)
    vault_keys: frozenset[str] = getattr(model, "vault_keys", frozenset())
    return [_setting(name, model.model_fields[name], vault_keys) for name in names]


def _setting(name: str, info: FieldInfo, vault_keys: frozenset[str]) -> Setting:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    key = extra.get("vault")
    if key is None and name in vault_keys:
        key = name
    kinds = _kinds(info.annotation)
    return Setting(
        field=name,
        env=name.upper(),
        flag="--" + name.replace("_", "-"),
        vault_key=str(key) if key is not None else None,
        secret=SecretStr in kinds,
        boolean=bool in kinds,
        listed=any(kind in _LISTS for kind in kinds),
        required=info.is_required(),
        default=_shown_default(info),
        description=" ".join((info.description or "").split()),
    )


def _kinds(annotation: Any) -> set[Any]:
    """The types in an annotation, outermost of each alternative: {tuple, NoneType} of tuple[str,
    ...] | None.
    """
    origin = get_origin(annotation)
    if origin is None:
        return {annotation}
    if origin in _LISTS or origin is dict:
        return {origin}
    return set().union(*(_kinds(part) for part in get_args(annotation)), {origin})


def _shown_default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "" or value == ():
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _LISTS):
        return ",".join(map(str, value))
    return str(value)


def parsed(setting: Setting, text: str) -> object:
    """The written value as pydantic takes it: a list field's commas (or JSON) become a list."""
    if not setting.listed:
        return text
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return [part.strip() for part in text.split(",") if part.strip()]
