"""A pull request held against what is usual: its repository's norms and the words of the corpus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

from . import text
from .accounts import account_years
from .facts import FLAGS, Facts
from .norms import Norms
from .profile import CorpusProfile

NAN = math.nan
# A newcomer's merge share starts from what is usual for three pull requests.
USUAL_MERGE_SHARE = 0.6
USUAL_MERGE_WEIGHT = 3.0
FLAG_INDEX = {flag.name: index for index, flag in enumerate(FLAGS)}
LAST_LATIN = "\u024f"
# Shorter words say nothing of what a pull request is about, and the first letters of longer ones say enough.
LEAST_WORD = 3
BEGINNING = 4


class Observation:
    """What the features of one row are computed from. NaN is a value that is not known."""

    def __init__(self, facts: Facts, norms: Sequence[float], profile: CorpusProfile) -> None:
        self.facts = facts
        self.norms = norms if isinstance(norms, Norms) else Norms(norms)
        self.profile = profile
        # How unusual each flag is here (see Norms.surprises); 0 for a false one: not doing something odd
        # is never odd.
        self.surprises = [
            surprise if true else NAN if true is None else 0.0
            for true, surprise in zip(facts.flags(), self.norms.surprises, strict=True)
        ]
        # (mean information a word, information of all different words)
        self.title_information = information(facts.title_words, profile)
        self.body_information = information(facts.body_words, profile)
        self.unrelated = unrelated(facts)

    def against_norm(self, name: str) -> float:
        """How many distances of the repository's quartiles a size lies above its median, in ln(1 + n)."""
        value = self.facts.document.get(name)
        if value is None:
            return NAN
        median, spread = self.norms.sizes[name]
        return (math.log1p(value) - median) / spread

    def failed_share(self) -> float:
        """The author's share of earlier pull requests that were not merged by then, drawn to the usual one."""
        facts = self.facts
        if not facts.past_known:
            return NAN
        merged = min(facts.merged, facts.opened) + USUAL_MERGE_SHARE * USUAL_MERGE_WEIGHT
        return 1.0 - merged / (facts.opened + USUAL_MERGE_WEIGHT)

    def account_years(self) -> float:
        """Age of the author's account; NaN for applications, whose ids are another sequence."""
        document = self.facts.document
        if document.get("author_type") == "Bot":
            return NAN
        return account_years(document.get("author_id"), document["created_at"])

    def burst(self) -> float:
        """Pull requests of the last day by an author of whom none was ever merged here."""
        if not self.facts.past_known:
            return NAN
        return 0.0 if self.facts.merged else float(self.facts.opened_day)

    def past(self, count: int) -> float:
        """A count of the author's past; NaN where nothing is known of it."""
        return count if self.facts.past_known else NAN

    def lines_per_file(self) -> float:
        lines, files = self.facts.lines, self.facts.document.get("changed_files")
        return NAN if lines is None or files is None else lines / max(files, 1)

    def balance(self) -> float:
        """From -1, only removed, to 1, only added."""
        additions, deletions = self.facts.document.get("additions"), self.facts.document.get("deletions")
        if additions is None or deletions is None:
            return NAN
        return float((additions - deletions) / (additions + deletions + 1))

    def stranger_sensitive(self) -> float:
        """Sensitive files changed by an author of whom nothing was ever merged here; else 0."""
        files = self.facts.files
        if files is None or not self.facts.past_known:
            return NAN
        changed = len(self.facts.document["files"])
        return 0.0 if self.facts.merged else round(files.sensitive * changed)

    def files_unusual(self) -> float:
        """Mean information of the changed files' endings."""
        return information(self.facts.file_terms, self.profile)[0]

    def foreign_share(self) -> float:
        """Letters behind U+024F, outside the Latin script, among the letters of title and description."""
        title, own = self.facts.title, self.facts.own
        if title.isascii() and own.isascii():
            return 0.0
        letters = list(filter(str.isalpha, title + own))
        return sum(map(LAST_LATIN.__lt__, letters)) / len(letters) if letters else 0.0


class Unrelated(NamedTuple):
    """Shares of words that the other parts have nothing of; 1 for no words.

    branch_title: the branch name's, not in the title; branch: in neither title nor description; title: the
    title's, in neither description nor branch name.
    """

    branch_title: float
    branch: float
    title: float


def unrelated(facts: Facts) -> Unrelated:
    """How little branch name, title and description have to do with each other.

    Four letters, three of a short word, count as the same: fix-parser and "Fixes parsing".
    """
    branch_words = text.words(facts.head)
    of_branch, of_title = _beginnings(branch_words), _beginnings(facts.title_words)
    # Words hold letters only, so a blank before one is its beginning.
    title = " " + " ".join(facts.title_words)
    body = " " + " ".join(facts.body_words)
    branch = " " + " ".join(branch_words)
    untitled = [word for word in of_branch if word not in title]
    elsewhere = [word for word in of_title if word not in branch]
    return Unrelated(
        len(untitled) / len(of_branch) if of_branch else 1.0,
        sum([word not in body for word in untitled]) / len(of_branch) if of_branch else 1.0,
        sum([word not in body for word in elsewhere]) / len(of_title) if of_title else 1.0,
    )


def _beginnings(words: Sequence[str]) -> list[str]:
    return [" " + word[:BEGINNING] for word in words if len(word) >= LEAST_WORD]


def information(words: Sequence[str], profile: CorpusProfile) -> tuple[float, float]:
    """(mean nats a word, nats of all different words); (NaN, 0) for no words."""
    if not words:
        return NAN, 0.0
    nats = list(map(profile.information.get, words, repeat(profile.information_of_unknown)))
    # A dict keeps the order of the words; a set's order, and with it the rounding, changes by process.
    return sum(nats) / len(words), sum(dict(zip(words, nats)).values())  # noqa: B905


def upper_share(title: str) -> float:
    """Capitals among the letters of the title; 1 for no letters, which is as loud."""
    letters, capitals = text.letters_and_capitals(title)
    return capitals / letters if letters else 1.0


def nonword_share(title: str) -> float:
    """Characters of the title that are neither letter, digit nor space."""
    return text.symbols(title) / len(title) if title else 0.0
