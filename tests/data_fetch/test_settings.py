"""settings.py: a wrong combination is named, and the README has every setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data_fetch.settings import Settings
from pydantic import ValidationError
from stage_runtime import readme
from stage_runtime.exits import WrongSettings
from stage_runtime.settings import load_settings

GOOD = {"GITHUB_REPOS": "a/b", "GITHUB_TOKEN": "token-x"}


def load(*argv: str, **environ: str) -> Settings:
    return load_settings(Settings, argv, "data_fetch", environ={**GOOD, **environ})


def test_the_readme_shows_every_setting(repository: Path) -> None:
    assert readme.main([str(repository / "data_fetch" / "README.md"), "--check"]) == 0


def test_flags_win_over_variables() -> None:
    assert load("--page-size", "7", PAGE_SIZE="9").page_size == 7
    assert load(PAGE_SIZE="9").page_size == 9
    assert load("--full-resync").full_resync


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("90s", 90), ("90", 90), ("1.5m", 90), ("2h", 7200)]
)
def test_durations(text: str, seconds: float | None) -> None:
    assert load(MAX_DURATION=text).max_seconds == seconds


def test_secrets_do_not_show() -> None:
    settings = load(
        AUTHOR_HASH_KEY="0123456789abcdef", AUTHOR_PRIVACY="hash", MONGO_URI="mongodb://u:pass-word@h"
    )
    for secret in ("token-x", "0123456789abcdef", "pass-word"):
        assert secret not in repr(settings) + str(settings.model_dump())
    assert settings.hash_key == b"0123456789abcdef"
    assert load(AUTHOR_HASH_KEY="0123456789abcdef").hash_key is None


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"GITHUB_REPOS": ""}, "GITHUB_REPOS: expected repositories"),
        ({"GITHUB_TOKEN": " , "}, "GITHUB_TOKEN: expected a token"),
        ({"GITHUB_APP_ID": "5"}, "GITHUB_APP_ID: expected all"),
        ({"AUTHOR_PRIVACY": "hash"}, "AUTHOR_HASH_KEY"),
        ({"GITHUB_API": "soap"}, "GITHUB_API"),
        ({"PAGE_SIZE": "101"}, "PAGE_SIZE"),
        ({"JOB_COMPLETION_INDEX": "-1"}, "JOB_COMPLETION_INDEX"),
    ],
)
def test_what_does_not_fit_together_is_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(WrongSettings, match=words):
        load(**environ)


def test_a_file_needs_no_token() -> None:
    assert load(GITHUB_TOKEN="", GITHUB_REPOS="", FROM_FILE="x.jsonl").from_file == "x.jsonl"


def test_an_empty_index_is_none() -> None:
    given: dict[str, Any] = {"github_repos": "a/b", "github_token": "x", "job_completion_index": ""}
    assert Settings.model_validate(given).job_completion_index is None
    with pytest.raises(ValidationError):
        Settings.model_validate({**given, "job_completion_index": "x"})
