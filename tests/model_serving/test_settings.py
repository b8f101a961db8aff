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


def test_a_key_of_pseudonyms_that_could_be_guessed_is_refused() -> None:
    def with_key(key: str) -> Settings:
        return load_settings(Settings, [], "model_serving", environ={"AUTHOR_HASH_KEY": key})

    with pytest.raises(WrongSettings, match="AUTHOR_HASH_KEY.*at least 16 bytes, found one of 8") as caught:
        with_key("tooshort")
    assert "tooshort" not in str(caught.value)
    for key in ("", "x" * 16, "\u00e9" * 8):
        assert with_key(key).author_hash_key.get_secret_value() == key
