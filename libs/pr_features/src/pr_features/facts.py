"""One pull request with everything its features look at, computed once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import text
from .files import FileKinds, file_kinds
from .history import History
from .norms import changed_lines, head_is_default, is_bot, shrunk
from .profile import CorpusProfile

Document = Mapping[str, Any]

NAN = math.nan
# What GitHub's web editor fills in when nobody writes a title.
_DEFAULT_TITLE = re.compile(
    r"(?:update|create|delete|rename|add files via upload|patch[ -]?\d+$|master$|main$|revert )",
    re.IGNORECASE,
)
_PATCH_BRANCH = re.compile(r"(?:.+-)?patch-\d+$")
# A spread under an eighth of a doubling is an artefact of a few equal values.
LEAST_SPREAD = 0.5


class Facts:
    """Plain values of one pull request; NaN where a value is not known."""

    __slots__ = (
        "author_last_opened", "author_merge_share", "author_opened", "base_default", "body", "body_surprise",
        "body_unknown", "body_words", "bot", "document", "files", "fork", "head", "head_default", "history",
        "lines", "newcomer", "own", "profile", "title", "title_default", "title_surprise", "title_unknown",
        "title_words",
    )  # fmt: skip

    def __init__(self, document: Document, history: History, profile: CorpusProfile) -> None:
        self.document = document
        self.history = history
        self.profile = profile
        self.title: str = (document.get("title") or "").strip()
        self.body: str = document.get("body") or ""
        self.own = text.own_text(self.body)
        self.title_words = text.words(self.title)
        self.body_words = text.words(self.own)
        self.title_surprise, self.title_unknown = surprise(self.title_words, profile)
        self.body_surprise, self.body_unknown = surprise(self.body_words, profile)
        self.title_default = float(_DEFAULT_TITLE.match(self.title) is not None)
        self.lines = number(changed_lines(document))
        self.head: str | None = document.get("head_ref")
        self.head_default = number(head_is_default(document))
        self.fork = number(document.get("is_cross_repository"))
        self.bot = number(is_bot(document))
        files = document.get("files")
        self.files: FileKinds | None = file_kinds(files) if files else None
        opened, merged, last, _ = history
        self.author_opened = number(opened)
        self.newcomer = NAN if opened is None else float(opened == 0)
        self.author_merge_share = merged / opened if opened and merged is not None else NAN
        self.author_last_opened = number(last)

    def count(self, field: str) -> float:
        """A number of the document, NaN where it is missing."""
        return number(self.document.get(field))

    def patch_branch(self) -> float:
        return NAN if self.head is None else float(_PATCH_BRANCH.match(self.head) is not None)

    def against_norm(self, name: str, value: float) -> float:
        """How many spreads above the repository's median, both in doublings; ``value`` is a plain count."""
        norm = shrunk(self.history.norms, self.profile.norms, name)
        return (log2_1p(value) - norm.centre) / max(norm.spread, LEAST_SPREAD)

    def surprise_of(self, name: str, value: float) -> float:
        """Bits of surprise at a yes/no value, given its share in this repository: 0 for what always is."""
        if value != value:
            return NAN
        share = shrunk(self.history.norms, self.profile.norms, name).centre
        seen = share if value else 1.0 - share
        return max(0.0, -math.log2(0.01 + 0.99 * seen))


def number(value: float | bool | None) -> float:
    return NAN if value is None else float(value)


def log2_1p(value: float) -> float:
    """log2(1 + value) for value >= 0; NaN stays NaN."""
    return math.log2(1.0 + value)


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else NAN


def upper_share(title: str) -> float:
    """Upper-case letters among the letters; NaN without letters."""
    letters = sum(map(str.isalpha, title))
    return ratio(sum(map(str.isupper, title)), letters)


def foreign_share(value: str) -> float:
    """Letters outside the Latin script's blocks (code points from U+0250) among the letters."""
    if value.isascii():
        return 0.0 if value else NAN
    letters = foreign = 0
    for character in value[:2000]:
        if character.isalpha():
            letters += 1
            foreign += character > "\u024f"
    return ratio(foreign, letters)


def surprise(found: Sequence[str], profile: CorpusProfile) -> tuple[float, float]:
    """(mean bits of surprise, share of unknown words) of some words; NaN for none."""
    if not found:
        return NAN, NAN
    bits = profile.surprise
    unknown_bits = profile.surprise_of_unknown
    total, unknown = 0.0, 0
    for word in found:
        value = bits.get(word)
        if value is None:
            unknown += 1
            total += unknown_bits
        else:
            total += value
    return total / len(found), unknown / len(found)
