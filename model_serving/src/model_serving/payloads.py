"""What callers send and get: the types that decode and validate requests, and that the OpenAPI document is made of.

Decoding fills plain dictionaries with just the fields below and skips the others unseen, which is what makes a
GitHub object of 15 kB cheap. What the values must be like beyond their type (ranges, times, text) is checked by
`documents` of the served model's pr_features, the same code that fetching uses.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Meta

# GitHub lists no more files; it allows 100 labels and 10 assignees. data_fetch keeps the same (pr_features: values).
MOST_FILES = 3_000
MOST_NAMES = 1_000
LISTS = {"files": MOST_FILES, "labels": MOST_NAMES, "assignees": MOST_NAMES}
Text = Annotated[str, Meta(max_length=1_048_576)]
Count = Annotated[int, Meta(ge=0, le=2_147_483_647)]
Id = Annotated[int, Meta(ge=1, le=9_223_372_036_854_775_807)]
Time = Annotated[
    str,
    Meta(description="ISO 8601 with an offset, as 2026-11-22T10:00:00Z", examples=["2026-11-22T10:00:00Z"]),
]


class Label(TypedDict, total=False):
    """GitHub's label."""

    name: str | None


class File(TypedDict, total=False):
    """A changed file; GitHub says filename, the document path."""

    path: str | None
    filename: str | None
    additions: Count | None
    deletions: Count | None


class User(TypedDict, total=False):
    """GitHub's user; of the author only login, id and type count. The id says who it is: without one, a newcomer."""

    login: str | None
    id: Id | None
    type: str | None


class Repository(TypedDict, total=False):
    """GitHub's repository."""

    id: Id | None
    full_name: str | None


class Branch(TypedDict, total=False):
    """GitHub's head or base."""

    ref: str | None
    sha: str | None
    repo: Repository | None


History = Annotated[
    dict[str, Count | None],
    Meta(
        description="What the caller knows of the author in this repository before created_at, in place of the "
        "model's own history: author_opened, author_merged, author_day (pull requests opened, merged, and opened in "
        "the last day)",
        examples=[{"author_opened": 3, "author_merged": 2, "author_day": 0}],
    ),
]


class _Common(TypedDict, total=False):
    number: Annotated[int, Meta(ge=1, le=2_147_483_647)] | None
    title: Text | None
    body: Text | None
    state: str | None
    created_at: Time | None
    updated_at: Time | None
    closed_at: Time | None
    merged_at: Time | None
    additions: Count | None
    deletions: Count | None
    changed_files: Count | None
    author_association: str | None
    files: list[File] | None
    history: History | None


class GithubPullRequest(_Common, total=False):
    """GitHub's REST or webhook `pull_request` object; fields that are not listed are not read."""

    base: Branch
    id: Id | None
    commits: Count | None
    user: User | None
    head: Branch | None
    draft: bool | None
    labels: list[Label] | None
    assignees: list[User] | None
    assignee: User | None


class PullRequestDocument(_Common, total=False):
    """A pull request in the names of the collection `pull_requests`.

    `author_id` says who the author is: one with `author_login` alone is scored as a newcomer.
    """

    repo_name: Annotated[str, Meta(examples=["owner/name"])]
    pr_id: Id | None
    _id: Any
    commits_count: Count | None
    assignees_count: Count | None
    labels: list[str] | None
    author_login: str | None
    author_id: Id | None
    author_type: str | None
    head_ref: str | None
    base_ref: str | None
    is_draft: bool | None
    is_cross_repository: bool | None
    fetched_at: Time | None
    source: str | None
    schema_version: int | None


class AnyPullRequest(_Common, total=False):
    """Either of the two, for decoding; `base` tells GitHub's object."""

    base: Branch | None
    id: Id | None
    commits: Count | None
    user: User | None
    head: Branch | None
    draft: bool | None
    labels: list[str | Label] | None
    assignees: list[User] | None
    assignee: User | None
    repo_name: str | None
    pr_id: Id | None
    _id: Any
    commits_count: Count | None
    assignees_count: Count | None
    author_login: str | None
    author_id: Id | None
    author_type: str | None
    head_ref: str | None
    base_ref: str | None
    is_draft: bool | None
    is_cross_repository: bool | None
    fetched_at: Time | None
    source: str | None
    schema_version: int | None


class Reason(msgspec.Struct):
    """A feature with a large share of the reconstruction error."""

    feature: Annotated[str, Meta(description="name of the feature, or text for the wording")]
    share: Annotated[float, Meta(ge=0, le=1, description="its share of the reconstruction error")]
    value: Annotated[str | None, Meta(description="its value, as a person reads it")]
    usual: Annotated[str | None, Meta(description="what is usual")]
    text: Annotated[str, Meta(description="the whole reason in words")]


class Score(msgspec.Struct):
    """How unusual a pull request is. Unusual is not the same as bad."""

    repo_name: str
    number: int | None
    reconstruction_error: Annotated[float, Meta(ge=0)]
    threshold: Annotated[float, Meta(ge=0, description="in the unit of reconstruction_error")]
    is_anomaly: Annotated[bool, Meta(description="reconstruction_error > threshold")]
    anomaly_score: Annotated[float, Meta(ge=0, le=1, description="percentile among the training rows")]
    reasons: list[Reason]
    model_version: str
    request_id: str


class Scores(msgspec.Struct):
    """The answer to a list, in its order."""

    scores: list[Score]


class ProblemObject(msgspec.Struct, omit_defaults=True):
    """RFC 9457. field, index, expected and found are there where one value is at fault, error under /v2."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    field: str | None = None
    index: Annotated[int, Meta(ge=0)] | None = None
    expected: str | None = None
    found: str | None = None
    error: str | None = None


decode_body = msgspec.json.Decoder(AnyPullRequest | list[AnyPullRequest]).decode
