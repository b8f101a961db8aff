"""AUTHOR_PRIVACY, the setting that serving shares with data_fetch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from artifact import make_model
from model_serving.app import create_app
from model_serving.model import ServedModel
from model_serving.settings import Settings
from service_process import ServiceProcess
from stage_runtime.exits import WrongSettings
from stage_runtime.settings import load_settings

KEY = "k" * 32


def privacy(mode: str, key: str = "") -> Settings:
    environ = {"AUTHOR_PRIVACY": mode, "AUTHOR_HASH_KEY": key}
    return load_settings(Settings, [], "model_serving", environ=environ)


@pytest.mark.parametrize("key", ["", "tooshort"])
def test_hashing_needs_a_key_that_cannot_be_guessed(key: str) -> None:
    with pytest.raises(
        WrongSettings, match="AUTHOR_HASH_KEY: expected the key of data_fetch.* 16 bytes"
    ) as caught:
        privacy("hash", key)
    assert "tooshort" not in str(caught.value)
    for good in ("x" * 16, "\u00e9" * 8):
        assert privacy("hash", good).hash_key == good.encode()


def test_authors_are_hashed_where_fetching_hashes_them_too(model: ServedModel, pull: dict[str, Any]) -> None:
    def seen(settings: Settings) -> tuple[str, int]:
        document = create_app(settings, model).parts.service._document(model, pull, None)
        return document["author_login"], document["author_id"]

    as_sent = (pull["user"]["login"], pull["user"]["id"])
    login, number = seen(privacy("hash", KEY))
    assert login.startswith("author-") and len(login) == 39 and number > 2**32
    # The key alone, which Vault may hold for later, decides nothing: data_fetch would keep these names.
    for mode in ("keep", "hashed"):
        assert seen(privacy(mode, KEY)) == as_sent


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of authors that were hashed when they were fetched."""
    return make_model(tmp_path_factory.mktemp("model") / "hidden", author_key=KEY.encode())


@pytest.mark.parametrize(
    ("mode", "of_hidden_authors", "told"),
    [
        ("keep", True, "AUTHOR_PRIVACY is keep, and this model has learned authors without GitHub's own ids"),
        ("hash", False, "AUTHOR_PRIVACY is hash, and this model has learned authors by GitHub's own ids"),
        ("keep", False, ""),
        ("hash", True, ""),
        ("hashed", True, ""),
    ],
)
def test_a_model_of_the_other_privacy_is_told(
    start: Callable[..., ServiceProcess],
    model_folder: Path,
    hidden: Path,
    mode: str,
    of_hidden_authors: bool,
    told: str,
) -> None:
    folder = hidden if of_hidden_authors else model_folder
    service = start(model_dir=folder, author_privacy=mode, author_hash_key=KEY)
    warnings = [event["event"] for event in service.events() if event["level"] == "warning"]
    assert len(warnings) == bool(told) and all(told in warning for warning in warnings)
