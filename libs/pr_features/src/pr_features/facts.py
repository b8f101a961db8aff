"""What one pull request and its author's past say by themselves, computed once for all features."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import text
from .files import FileKinds, file_kinds

Document = Mapping[str, Any]

DEFAULT_BRANCHES = frozenset(
    "main master develop dev development trunk default gh-pages staging production release stable next".split()
)
_PATCH_BRANCH = re.compile(r"(?:^|[-/])patch-?\d+$", re.IGNORECASE)
_VERSION_BRANCH = re.compile(r"(?:v|release[-/]?v?|r)?\d+(?:\.(?:\d+|x))+$", re.IGNORECASE)
# What GitHub's web editor proposes as a title when nobody writes one.
_WEB_TITLE = re.compile(
    r"(?:(?:create|update|delete|rename|edit)\s+\S+(?:\s+to\s+\S+)?|add(?:ed)? files? via upload"
    r"|initial commit|first commit|merge\b.*)$",
    re.IGNORECASE | re.DOTALL,
)


class Facts:
    """Plain values of one pull request.

    opened, merged: the author's pull requests in this repository opened and merged before; opened_day: those
    opened in the day before. past_known: whether these say anything. Of an author whom GitHub no longer knows they
    are 0, and that is no newcomer: the account was deleted later.
    """

    def __init__(self, document: Document, opened: int, merged: int, opened_day: int) -> None:
        self.document = document
        self.opened = opened
        self.merged = merged
        self.opened_day = opened_day
        self.past_known = opened > 0 or merged > 0 or author_key(document) is not None
        self.title: str = (document.get("title") or "")[: text.MAX_TITLE_CHARACTERS].strip()
        self.own = text.own_text(document.get("body") or "")
        self.head: str = document.get("head_ref") or ""
        self.base: str = document.get("base_ref") or ""
        self.title_words = text.words(self.title)
        self.body_words = text.words(self.own)
        self.all_words = self.title_words + self.body_words
        self.links = text.links(self.own)
        files = document.get("files")
        # None where files were not fetched, and for a pull request that changes none.
        self.files: FileKinds | None = file_kinds(files) if files else None
        # Endings of the changed files; the prefix keeps them apart from words.
        self.file_terms = ["file:" + text.extension(file["path"]) for file in files] if files else []

    @property
    def lines(self) -> int | None:
        additions, deletions = self.document.get("additions"), self.document.get("deletions")
        return None if additions is None or deletions is None else additions + deletions

    def flags(self) -> tuple[bool | None, ...]:
        """The flags in the order of FLAGS; None for one that is not known."""
        return tuple([value(self) for value in _FLAG_VALUES])


class Flag(NamedTuple):
    """A yes/no fact whose rarity in its repository is a feature.

    prior: the share of pull requests for which it is true in a repository of which nothing is known. value: None
    where it is not known.
    """

    name: str
    prior: float
    value: Callable[[Facts], bool | None]


def author_key(document: Document) -> str | None:
    """The author's identity within a corpus: GitHub's id, which survives a rename, else the login.

    A login is not looked up among the ids: where a corpus has these, an author without one is nobody's past.
    """
    author_id = document.get("author_id")
    if author_id is not None:
        return str(author_id)
    login = document.get("author_login")
    return f"login:{login}" if login else None


def terms(document: Document) -> list[str]:
    """What is counted for document frequencies: words of title and own body, endings of changed files."""
    facts = Facts(document, 0, 0, 0)
    return facts.all_words + facts.file_terms


def is_default_branch(head: str, base: str) -> bool:
    """Whether somebody worked on a branch that is no topic: a default branch, the base, a version."""
    head = head.lower()
    return bool(head) and (
        head in DEFAULT_BRANCHES
        or head == base.lower()
        # A pattern costs more than a look for the character that it needs.
        or ("." in head and _VERSION_BRANCH.match(head) is not None)
    )


def is_patch_branch(head: str) -> bool:
    """Whether GitHub's web editor named the branch."""
    return "patch" in head.lower() and _PATCH_BRANCH.search(head) is not None


def is_branch_title(title: str, head: str) -> bool:
    """Whether the title is the branch's name, as GitHub fills it in for several commits."""
    said, name = text.alphanumeric(title), text.alphanumeric(head)
    return (
        bool(said)
        and name.endswith(said)
        and (said == name or said == text.alphanumeric(head.rpartition("/")[2]))
    )


FLAGS: tuple[Flag, ...] = (
    Flag("newcomer", 0.4, lambda f: f.opened == 0 if f.past_known else None),
    Flag("unmerged_author", 0.5, lambda f: f.merged == 0 if f.past_known else None),
    Flag("default_branch", 0.15, lambda f: is_default_branch(f.head, f.base)),
    Flag("patch_branch", 0.08, lambda f: is_patch_branch(f.head)),
    Flag("fork", 0.7, lambda f: f.document.get("is_cross_repository") is not False),
    Flag("odd_base", 0.1, lambda f: bool(f.base) and f.base.lower() not in DEFAULT_BRANCHES),
    Flag("web_title", 0.06, lambda f: _WEB_TITLE.match(f.title) is not None),
    Flag("branch_title", 0.05, lambda f: is_branch_title(f.title, f.head)),
    Flag("empty_body", 0.25, lambda f: not f.own),
    Flag("links", 0.25, lambda f: f.links > 0),
    Flag("no_reference", 0.6, lambda f: not (text.refers(f.title) or text.refers(f.own))),
)
_FLAG_VALUES = tuple([flag.value for flag in FLAGS])
