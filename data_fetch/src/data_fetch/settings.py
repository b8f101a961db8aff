"""The settings of data_fetch."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from stage_runtime.settings import StageSettings

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class Settings(StageSettings):
    """Fetch pull requests from GitHub (or from a file) into MongoDB."""

    vault_keys: ClassVar[frozenset[str]] = frozenset(
        {
            "mongo_uri",
            "mongo_db",
            "mongo_collection",
            "github_token",
            "github_app_private_key",
            "author_hash_key",
        }
    )

    github_repos: str = Field(
        default="",
        description="repositories as owner/name, owner/* for all of an organisation or user, "
        "separated by commas; @FILE for a file with one a line",
    )
    github_search: str = Field(
        default="",
        description="repositories by GitHub's search, such as stars:>100 language:go; most stars first unless "
        "it has a sort:",
    )
    github_max_repos: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="most repositories to take from the search (GitHub gives 1,000)",
    )
    github_token: SecretStr = Field(
        default=SecretStr(""), description="token, or several separated by commas, used side by side"
    )
    github_app_id: str = Field(default="", description="GitHub App: its id or client id")
    github_app_private_key: SecretStr = Field(
        default=SecretStr(""), description="GitHub App: its private key in PEM"
    )
    github_app_installations: str = Field(
        default="", description="GitHub App: installation ids separated by commas"
    )
    github_api_url: str = Field(
        default="https://api.github.com",
        description="address of the API; an Enterprise server has https://HOST/api/v3",
    )
    github_api: Literal["auto", "graphql", "rest"] = Field(
        default="auto", description="interface: auto is GraphQL, and REST where that is not to be had"
    )
    fetch_files: bool = Field(
        default=False, description="fetch the changed files of each pull request as well"
    )
    from_file: str = Field(
        default="",
        description="import pull-request objects in GitHub's REST form instead: FILE.jsonl or FILE.jsonl.gz, "
        "several separated by commas",
    )
    full_resync: bool = Field(
        default=False,
        description="read everything anew and remove what was deleted or transferred at GitHub",
    )
    shard: str = Field(
        default="",
        description="take only this share of the repositories: i/n with i from 0, or /n with i from "
        "JOB_COMPLETION_INDEX",
    )
    job_completion_index: int | None = Field(
        default=None, ge=0, description="which pod of an Indexed Job this is; set by Kubernetes"
    )
    max_points: int | None = Field(
        default=None,
        ge=1,
        description="stop after spending so many points of GitHub's rate limit; more than one for every fifty "
        "repositories, which is what finding out costs",
    )
    max_duration: str = Field(default="", description="stop after so long: 90s, 30m, 2h")
    spent_exit_code: Literal[0, 4] = Field(
        default=4,
        description="exit code when points or time are used up: 4, or 0 where a later run goes on anyway",
    )
    author_privacy: Literal["keep", "hash"] = Field(
        default="keep",
        description="keep author login and id, or replace both by a keyed hash; serving needs the same",
    )
    author_hash_key: SecretStr = Field(
        default=SecretStr(""),
        description="key of that hash, at least 16 bytes; serving needs the same one",
    )
    page_size: int = Field(
        default=50, ge=1, le=100, description="most pull requests in one GraphQL call (half of it with files)"
    )
    requests_per_token: int = Field(
        default=1, ge=1, le=10, description="requests side by side for one token; GitHub advises one"
    )
    overlap_seconds: int = Field(
        default=300, ge=1, le=86_400, description="how far before the newest known update a run looks again"
    )
    request_timeout_seconds: float = Field(
        default=40.0, gt=0, le=300, description="longest time for one request"
    )
    max_rejected_share: float = Field(
        default=0.5, ge=0, le=1, description="with --from-file: a larger share of unusable lines ends with 3"
    )
    mongo_uri: SecretStr = Field(
        default=SecretStr("mongodb://127.0.0.1:27017"), description="address of MongoDB"
    )
    mongo_db: str = Field(default="mlops_db", min_length=1, description="database")
    mongo_collection: str = Field(default="pull_requests", min_length=1, description="collection")

    @field_validator("job_completion_index", "max_points", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("spent_exit_code", mode="before")
    @classmethod
    def _is_code(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @field_validator("mongo_uri")
    @classmethod
    def _is_mongodb(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("expected an address such as mongodb://host:27017")
        return value

    @field_validator("max_duration")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        if value and not _DURATION.fullmatch(value):
            raise ValueError("expected a duration such as 90s, 30m or 2h")
        return value

    @field_validator("github_api_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")):
            raise ValueError("expected an address that starts with https://")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if self.author_privacy == "hash" and len(self.author_hash_key.get_secret_value().encode()) < 16:
            raise ValueError(
                "AUTHOR_HASH_KEY: expected a key of at least 16 bytes because AUTHOR_PRIVACY is hash, "
                "found none or a shorter one"
            )
        if self.from_file:
            return self
        if not (self.github_repos or self.github_search):
            raise ValueError(
                "GITHUB_REPOS: expected repositories such as owner/name, found none "
                "(GITHUB_SEARCH and --from-file are the other ways to name the input)"
            )
        app = (
            self.github_app_id,
            self.github_app_private_key.get_secret_value(),
            self.github_app_installations,
        )
        if any(app) and not all(app):
            raise ValueError(
                "GITHUB_APP_ID: expected all of GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY and "
                "GITHUB_APP_INSTALLATIONS, found only some"
            )
        if not any(app) and not self.github_token.get_secret_value().strip(" ,"):
            raise ValueError(
                "GITHUB_TOKEN: expected a token (or a GitHub App's settings), found none; a classic token "
                "without any scope is enough for public repositories"
            )
        return self

    @property
    def max_seconds(self) -> float | None:
        """`max_duration` in seconds, None for no end."""
        match = _DURATION.fullmatch(self.max_duration)
        return float(match[1]) * _UNITS[match[2]] if match else None

    @property
    def hash_key(self) -> bytes | None:
        """The key where authors are to be hidden, else None."""
        return self.author_hash_key.get_secret_value().encode() if self.author_privacy == "hash" else None
