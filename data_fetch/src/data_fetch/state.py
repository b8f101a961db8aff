"""What is remembered of a repository between pages and between runs.

A checkpoint is one document, written whole: its fields always belong together. Two fetchers on one
repository may overwrite each other's: each of them is true by itself, so an older one only means
that a few pages are read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class Walk:
    """A walk in progress: everything from `top` down to `position` is durable.

    `floor` is where it ends (None: at the oldest pull request), `full` whether the end looks for
    deleted ones, `read_at` GitHub's time when `top` was read.
    """

    api: str
    shape: str
    started_at: datetime
    floor: datetime | None = None
    full: bool = False
    position: str | None = None
    top: datetime | None = None
    read_at: datetime | None = None
    etag: str | None = None
    pages: int = 0


@dataclass
class Checkpoint:
    """What is known of one repository; `name` is the configured name in small letters.

    `watermark`: every update up to it is stored, in the form `shape`. `settled`: it was read long
    enough after that nothing with the same or an older time can still appear. `unseen`: pull
    requests that GitHub counts but does not list.
    """

    name: str
    repo_name: str | None = None
    repository_id: int | None = None
    shape: str | None = None
    watermark: datetime | None = None
    settled: bool = False
    total: int | None = None
    unseen: int = 0
    page_size: int | None = None
    etag: str | None = None
    completed_at: datetime | None = None
    walk: Walk | None = field(default=None)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Checkpoint:
        """Read what `to_document` wrote; unknown keys of another version are ignored."""
        known = {key: document[key] for key in cls.__dataclass_fields__ if key in document}
        walk = known.pop("walk", None)
        if walk is not None:
            walk = Walk(**{key: walk[key] for key in Walk.__dataclass_fields__ if key in walk})
        return cls(**known, walk=walk)

    def to_document(self) -> dict[str, Any]:
        """As a MongoDB document; its `_id` is the name."""
        return {"_id": self.name, **asdict(self)}
