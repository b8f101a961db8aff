"""A pull request while it is being invented, before it takes GitHub's form."""

from __future__ import annotations

from dataclasses import dataclass

from local_setup.corpus.changes import Change
from local_setup.corpus.people import Person


@dataclass
class Draft:
    """``paths`` None lets the file list be invented."""

    author: Person
    title: str
    body: str | None
    branch: str
    change: Change
    kind: str
    fork: bool
    is_draft: bool = False
    paths: list[str] | None = None
    label: str | None = None
