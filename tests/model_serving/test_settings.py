from pathlib import Path

import pytest
from model_serving.settings import Settings
from stage_runtime import readme
from stage_runtime.exits import WrongSettings
from stage_runtime.settings import load_settings


def test_the_readme_shows_every_setting(repository: Path) -> None:
    assert readme.main([str(repository / "model_serving" / "README.md"), "--check"]) == 0


def test_secrets_are_not_shown() -> None:
    settings = load_settings(Settings, [], "model_serving", environ={"RELOAD_TOKEN": "very-secret-token"})
    assert "very-secret-token" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("TRAFFIC_SAMPLE", "2"), ("UNKNOWN_FIELDS", "maybe")]
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(WrongSettings, match=name):
        load_settings(Settings, [], "model_serving", environ={name: value})


def test_workers_follow_the_cores() -> None:
    assert Settings().worker_count >= 1
    assert Settings(workers=3).worker_count == 3


def test_writing_back_needs_its_token_and_a_webhook(tmp_path: Path) -> None:
    environ = {"GITHUB_WRITEBACK": "status", "SECRETS_DIR": str(tmp_path)}
    with pytest.raises(WrongSettings, match="GITHUB_WRITEBACK_TOKEN and GITHUB_WEBHOOK_SECRET: expected"):
        load_settings(Settings, [], "model_serving", environ=environ)
    (tmp_path / "github_writeback_token").write_text("token")
    with pytest.raises(WrongSettings, match="^GITHUB_WEBHOOK_SECRET: expected"):
        load_settings(Settings, [], "model_serving", environ=environ)
    (tmp_path / "github_webhook_secret").write_text("secret")  # secrets may come from files or Vault
    assert load_settings(Settings, [], "model_serving", environ=environ).github_writeback == "status"
