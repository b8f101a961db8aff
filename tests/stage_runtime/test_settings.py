"""What wins, what a bad value says, and that no secret shows."""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr, model_validator
from stage_runtime.exits import WrongSettings
from stage_runtime.settings import StageSettings, load_settings, settings_table


class Settings(StageSettings):
    """Try things out."""

    vault_keys: ClassVar[frozenset[str]] = frozenset({"mongo_uri", "github_token"})
    mongo_uri: SecretStr = Field(default=SecretStr("mongodb://127.0.0.1:27017"), description="address")
    github_token: SecretStr | None = Field(default=None, description="token")
    tracking: str = Field(default="local", description="MLflow", json_schema_extra={"vault": "mlflow_uri"})
    repos: tuple[str, ...] = Field(default=(), description="repositories | names")
    batch: int = Field(default=5, ge=1, le=100, description="documents at once")
    dry_run: bool = Field(default=False, description="write nothing, 100 % safe")
    folder: Path | None = Field(default=None, description="where")


class Strict(Settings):
    """Has a value without default and a rule for two values."""

    bucket: str = Field(description="name of the bucket")

    @model_validator(mode="after")
    def _token_for_repositories(self) -> "Strict":
        if self.repos and self.github_token is None:
            raise ValueError("REPOS: expected GITHUB_TOKEN beside it, found none")
        return self


def load(*argv: str, **environ: str) -> Settings:
    return load_settings(Settings, argv, "stage", environ=environ)


def refused(*argv: str, **environ: str) -> str:
    with pytest.raises(WrongSettings) as error:
        load_settings(Strict, argv, "stage", environ=environ)
    return str(error.value)


def test_defaults_hold_without_any_surroundings() -> None:
    settings = load()
    assert settings.mongo_uri.get_secret_value() == "mongodb://127.0.0.1:27017"
    assert (settings.repos, settings.batch, settings.dry_run, settings.folder) == ((), 5, False, None)


def test_flag_wins_over_file_over_variable(tmp_path: Path) -> None:
    (tmp_path / "github_token").write_text("from-file\n")
    (tmp_path / "mlflow_uri").write_text("https://mlflow.test")
    surroundings = {"SECRETS_DIR": str(tmp_path), "GITHUB_TOKEN": "from-variable", "BATCH": "7"}
    settings = load(**surroundings)
    assert settings.github_token is not None
    assert settings.github_token.get_secret_value() == "from-file"
    assert settings.tracking == "https://mlflow.test"
    assert settings.batch == 7
    settings = load("--github-token", "from-flag", "--batch=8", **surroundings)
    assert settings.github_token is not None
    assert settings.github_token.get_secret_value() == "from-flag"
    assert settings.batch == 8


def test_a_variable_serves_where_no_file_has_the_key(tmp_path: Path) -> None:
    settings = load(SECRETS_DIR=str(tmp_path), GITHUB_TOKEN="from-variable")
    assert settings.github_token is not None
    assert settings.github_token.get_secret_value() == "from-variable"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(BATCH="").batch == 5


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--dry-run"], True),
        (["--dry-run=true"], True),
        (["--no-dry-run"], False),
        (["--dry-run", "0"], False),
    ],
)
def test_booleans_are_written_as_flag_or_value(argv: list[str], expected: bool) -> None:
    assert load(*argv, DRY_RUN="true" if not expected else "false").dry_run is expected


def test_lists_are_written_with_commas_or_as_json() -> None:
    assert load("--repos", "a/b, c/d,").repos == ("a/b", "c/d")
    assert load(REPOS='["a/b"]').repos == ("a/b",)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().batch = 3


def test_a_bad_value_names_variable_source_expected_and_found() -> None:
    text = refused("--bucket", "b", BATCH="many")
    assert text.startswith("BATCH: expected a valid integer")
    assert "found 'many'" in text
    assert "stage --help" in text
    assert refused("--bucket", "b", "--batch", "0").startswith(
        "BATCH (from --batch): expected greater than or equal to 1, found '0'"
    )


def test_a_missing_value_names_every_way_to_give_it() -> None:
    text = refused()
    assert text.startswith("BUCKET: expected a value (name of the bucket), found none")
    assert "--bucket" in text


def test_a_rule_for_two_values_says_its_own_sentence() -> None:
    assert refused("--bucket", "b", "--repos", "a/b").startswith("REPOS: expected GITHUB_TOKEN")


@pytest.mark.parametrize("flag", ["--bogus", "--bat=3"])  # abbreviations would break when a flag is added
def test_an_unknown_flag_is_named(flag: str) -> None:
    text = refused("--bucket", "b", flag)
    assert flag.split("=")[0] in text
    assert "Unrecognized" in text


def test_a_flag_without_its_value_is_named() -> None:
    assert "--batch" in refused("--bucket", "b", "--batch")


def test_secrets_show_neither_when_printed_nor_in_errors(tmp_path: Path) -> None:
    settings = load(MONGO_URI="mongodb://u:hunter2pass@db/x", GITHUB_TOKEN="ghp_secretvalue")
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2pass" not in text
        assert "ghp_secretvalue" not in text
    text = refused("--bucket", "b", BATCH="ghp_secretvalue", GITHUB_TOKEN="ghp_secretvalue")
    assert "ghp_secretvalue" not in text


def test_a_folder_of_secrets_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match="SECRETS_DIR: expected a folder"):
        load(SECRETS_DIR=str(tmp_path / "none"))


def test_help_lists_every_setting_with_variable_default_and_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        load("--help")
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in Settings.model_fields:
        assert name.upper() in text
        assert "--" + name.replace("_", "-") in text
    assert "write nothing, 100 % safe (DRY_RUN, default false)" in text
    assert "Vault key mlflow_uri" in text


def test_the_table_has_one_row_a_setting_and_escapes_bars() -> None:
    rows = settings_table(Strict).splitlines()
    assert len(rows) == 2 + len(Strict.model_fields)
    assert "| `BUCKET` | `--bucket` | required | name of the bucket |" in rows
    assert "| `REPOS` | `--repos` | none | repositories \\| names |" in rows
    assert "| `TRACKING` | `--tracking` | `local` | MLflow (Vault key or file `mlflow_uri`) |" in rows
    assert rows[2].startswith("| `BUCKET`")  # a class's own settings come before its base's
