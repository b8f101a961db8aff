"""Every row feature: what it means, where it comes from, and how it is computed. The one list of them.

The README's table, the wording of reasons and the schema of the feature table are made from it. To add a
feature, add an entry; nothing else names features one by one. Nothing here may look at what happens after
the pull request was opened or last pushed to: state, merge, closing, later labels, comments, reviews.
``author_association`` is left out: a snapshot's value tells who was merged later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log, log1p
from typing import Literal

from . import text
from .observation import FLAG_INDEX, NAN, Observation, nonword_share, upper_share

Block = Literal["author", "branch", "title", "body", "size", "files"]
Sides = Literal["surprise", "high", "both"]
Leak = Literal["past", "norms", "words", "account", "branch", "fork", "base", "text", "pushed"]
Show = Literal[
    "flag",
    "count",
    "negative count",
    "share",
    "negative years",
    "information",
    "spreads",
    "number",
    "percent",
]


@dataclass(frozen=True)
class Feature:
    """One number of a row.

    Attributes:
        name: column name in the feature table.
        block: every block has the same weight in the reconstruction error.
        label: what a reason calls it.
        unit: of the stored value.
        low, high: closed range of the stored value; None is open.
        source: GitHub REST fields it is made from.
        missing: when it has no value; None for a feature that always has one.
        leaks: what of later than the opening could show in it, and what is done: keys of LEAKS.
        sides: "surprise": 0, or how unusual a flag is here; "high": only a large value is suspicious;
            "both": small and large ones are.
        show: how a reason prints it.
        value: computes it; NaN is missing.
        norm: the repository norm (``norms.QUANTITIES``) that says what is usual here, if there is one.
    """

    name: str
    block: Block
    label: str
    unit: str
    low: float | None
    high: float | None
    source: str
    missing: str | None
    leaks: tuple[Leak, ...]
    sides: Sides
    show: Show
    value: Callable[[Observation], float]
    norm: str | None = None


# What could tell of what came after: the same for many features, so it is said once.
LEAKS: Mapping[Leak, str] = {
    "past": "A merge or opening after this one would tell of the author's later fate: only those strictly before "
    "`created_at` count. So would an account that was deleted since, as spammers' are: it makes no newcomer, there is "
    "no value, and no indicator says so.",
    "norms": "The repository's habits change afterwards: shares, medians and spreads are those of earlier months.",
    "words": "How rare a word is would follow from later texts: counted over the rows of split `train` only.",
    "account": "An account's number is given at registration and cannot change. One that was deleted since has none, "
    "and then there is neither a value nor an indicator of its being missing, as a webhook would never set it.",
    "branch": "`head.ref` is fixed when the pull request is opened.",
    "fork": "`head.repo` is null once the fork is deleted, which happens after merging too: it still counts as the "
    "fork that it was.",
    "base": "A maintainer may change the base branch while the pull request is open. An export has the last one; a "
    "webhook is scored with the one of that moment.",
    "text": "Title and description may be edited later, by maintainers too. An export has the last wording; a webhook "
    "is scored with the one of that moment. Labels, comments, state and merge are not looked at.",
    "pushed": "Commits that a review asked for count in an export, which has the sizes of the last push. A webhook is "
    "scored with those of that moment. What merging adds does not count.",
}
NO_SIZES = "sizes not fetched (an object of a list)"
NO_FILES = "files not fetched, or none changed"
NO_PAST = "author unknown: the account was deleted"
NO_FILES_OR_PAST = "files not fetched, none changed, or author unknown"
# Reasons without an indicator column: that the account was deleted is a later fact, and files have their own.
UNINDICATED = frozenset({NO_PAST, NO_FILES_OR_PAST})
PAST = "user, created_at and merged_at of earlier pull requests here"


def _surprise(name: str, block: Block, label: str, source: str, *leaks: Leak) -> Feature:
    """A flag of ``facts.FLAGS`` as the surprise at it in this repository."""
    index = FLAG_INDEX[name]
    missing = NO_PAST if source == PAST else None
    return Feature(
        name, block, label, "sqrt(-2 ln share here), 0 if false", 0, None, source, missing, (*leaks, "norms"),
        "surprise", "flag", lambda o: o.surprises[index], norm=name,
    )  # fmt: skip


def _relative(name: str, field: str, label: str, source: str) -> Feature:
    """A size against the repository's own median and spread."""
    return Feature(
        name, "size", label, "distances of quartiles above the median of ln(1 + n) here", None, None, source,
        NO_SIZES, ("pushed", "norms"), "both", "spreads", lambda o: o.against_norm(field), norm=field,
    )  # fmt: skip


def _log1p(value: float | None) -> float:
    return NAN if value is None else log1p(value)


# fmt: off  (a table: one entry's fields side by side)
_AUTHOR = (
    _surprise("newcomer", "author", "author's first pull request here", PAST, "past"),
    _surprise("unmerged_author", "author", "nothing of the author merged here before", PAST, "past"),
    Feature(
        "author_opened",
        "author",
        "author's earlier pull requests here",
        "-ln(1 + n)",
        None,
        0,
        PAST,
        NO_PAST,
        ("past",),
        "high",
        "negative count",
        lambda o: -log1p(o.past(o.facts.opened)),
    ),
    Feature(
        "author_merged",
        "author",
        "author's earlier merged pull requests here",
        "-ln(1 + n)",
        None,
        0,
        PAST,
        NO_PAST,
        ("past",),
        "high",
        "negative count",
        lambda o: -log1p(o.past(o.facts.merged)),
    ),
    Feature(
        "author_failed",
        "author",
        "author's share of earlier pull requests not merged by then",
        "share",
        0,
        1,
        PAST,
        NO_PAST,
        ("past",),
        "high",
        "share",
        lambda o: o.failed_share(),
    ),
    Feature(
        "account_age",
        "author",
        "age of the author's account",
        "-ln(years)",
        None,
        4,
        "user.id, user.type, created_at",
        "author hashed, an application or without an id; or unknown, which no indicator says",
        ("account",),
        "high",
        "negative years",
        lambda o: -log(o.account_years()),
    ),
    Feature(
        "burst",
        "author",
        "pull requests in one day by an author without a merge here",
        "ln(1 + n)",
        0,
        None,
        PAST,
        NO_PAST,
        ("past",),
        "high",
        "count",
        lambda o: log1p(o.burst()),
    ),
)

_BRANCH = (
    _surprise(
        "default_branch", "branch", "proposed from a default branch", "head.ref, base.ref", "branch", "base"
    ),
    _surprise("patch_branch", "branch", "proposed from a branch named patch-N", "head.ref", "branch"),
    _surprise("fork", "branch", "proposed from a fork", "head.repo, base.repo", "fork"),
    _surprise("odd_base", "branch", "proposed to a branch that is no default branch", "base.ref", "base"),
    Feature(
        "branch_unrelated",
        "branch",
        "branch name unrelated to title and description",
        "share of its words",
        0,
        1,
        "head.ref, title, body",
        None,
        ("branch", "text"),
        "high",
        "share",
        lambda o: o.unrelated.branch,
    ),
    Feature(
        "branch_untitled",
        "branch",
        "branch name unrelated to the title",
        "share of its words",
        0,
        1,
        "head.ref, title",
        None,
        ("branch", "text"),
        "high",
        "share",
        lambda o: o.unrelated.branch_title,
    ),
    Feature(
        "branch_length",
        "branch",
        "characters in the branch name",
        "-ln(1 + n)",
        None,
        0,
        "head.ref",
        None,
        ("branch",),
        "both",
        "negative count",
        lambda o: -log1p(len(o.facts.head)),
    ),
)

_TITLE = (
    _surprise("web_title", "title", "title as GitHub's web editor fills it in", "title", "text"),
    _surprise("branch_title", "title", "title is the branch's name", "title, head.ref", "text", "branch"),
    Feature(
        "title_short",
        "title",
        "characters in the title",
        "-ln(1 + n)",
        None,
        0,
        "title",
        None,
        ("text",),
        "high",
        "negative count",
        lambda o: -log1p(len(o.facts.title)),
    ),
    Feature(
        "title_words",
        "title",
        "words in the title",
        "-ln(1 + n)",
        None,
        0,
        "title",
        None,
        ("text",),
        "high",
        "negative count",
        lambda o: -log1p(len(o.facts.title_words)),
    ),
    Feature(
        "title_unrelated",
        "title",
        "title unrelated to description and branch name",
        "share of its words",
        0,
        1,
        "title, body, head.ref",
        None,
        ("text", "branch"),
        "high",
        "share",
        lambda o: o.unrelated.title,
    ),
    Feature(
        "title_unusual",
        "title",
        "unusual words in the title",
        "nats a word",
        0,
        None,
        "title",
        "no words",
        ("text", "words"),
        "high",
        "information",
        lambda o: o.title_information[0],
    ),
    Feature(
        "title_says",
        "title",
        "information in the title (nats)",
        "-ln(1 + nats)",
        None,
        0,
        "title",
        None,
        ("text", "words"),
        "high",
        "negative count",
        lambda o: -log1p(o.title_information[1]),
    ),
    Feature(
        "title_capitals",
        "title",
        "capitals in the title",
        "share of letters",
        0,
        1,
        "title",
        None,
        ("text",),
        "high",
        "share",
        lambda o: upper_share(o.facts.title),
    ),
    Feature(
        "title_symbols",
        "title",
        "symbols in the title",
        "share of characters",
        0,
        1,
        "title",
        None,
        ("text",),
        "both",
        "share",
        lambda o: nonword_share(o.facts.title),
    ),
)

_BODY = (
    _surprise("empty_body", "body", "description empty or an untouched template", "body", "text"),
    _surprise("links", "body", "links in the description", "body", "text"),
    _surprise("no_reference", "body", "no issue or pull request referred to", "title, body", "text"),
    Feature(
        "body_says",
        "body",
        "information in the description (nats)",
        "-ln(1 + nats)",
        None,
        0,
        "body",
        None,
        ("text", "words"),
        "high",
        "negative count",
        lambda o: -log1p(o.body_information[1]),
    ),
    Feature(
        "body_length",
        "body",
        "own characters in the description",
        "-ln(1 + n)",
        None,
        0,
        "body",
        None,
        ("text",),
        "both",
        "negative count",
        lambda o: -log1p(len(o.facts.own)),
    ),
    Feature(
        "body_unusual",
        "body",
        "unusual words in the description",
        "nats a word",
        0,
        None,
        "body",
        "no words",
        ("text", "words"),
        "high",
        "information",
        lambda o: o.body_information[0],
    ),
    Feature(
        "body_links",
        "body",
        "number of links in the description",
        "ln(1 + n)",
        0,
        None,
        "body",
        None,
        ("text",),
        "both",
        "count",
        lambda o: log1p(o.facts.links),
    ),
    Feature(
        "body_mentions",
        "body",
        "people mentioned in the description",
        "ln(1 + n)",
        0,
        None,
        "body",
        None,
        ("text",),
        "high",
        "count",
        lambda o: log1p(text.mentions(o.facts.own)),
    ),
    Feature(
        "foreign_letters",
        "body",
        "letters outside the Latin script",
        "ln(1 + 100 share)",
        0,
        5,
        "title, body",
        None,
        ("text",),
        "high",
        "percent",
        lambda o: log1p(100.0 * o.foreign_share()),
    ),
)

_SIZE = (
    _relative("additions_here", "additions", "lines added", "additions"),
    _relative("deletions_here", "deletions", "lines removed", "deletions"),
    _relative("files_here", "changed_files", "files changed", "changed_files"),
    _relative("commits_here", "commits_count", "commits", "commits"),
    Feature(
        "lines_per_file",
        "size",
        "lines a file",
        "ln(1 + n)",
        0,
        None,
        "additions, deletions, changed_files",
        NO_SIZES,
        ("pushed",),
        "both",
        "count",
        lambda o: log1p(o.lines_per_file()),
    ),
    Feature(
        "lines",
        "size",
        "lines changed",
        "ln(1 + n)",
        0,
        None,
        "additions, deletions",
        NO_SIZES,
        ("pushed",),
        "both",
        "count",
        lambda o: _log1p(o.facts.lines),
    ),
    Feature(
        "balance",
        "size",
        "lines added against removed",
        "-1 only removed to 1 only added",
        -1,
        1,
        "additions, deletions",
        NO_SIZES,
        ("pushed",),
        "both",
        "number",
        lambda o: o.balance(),
    ),
)

_FILES = (
    Feature(
        "files_sensitive",
        "files",
        "share of CI, dependency, build and binary files",
        "share",
        0,
        1,
        "files",
        NO_FILES,
        ("pushed",),
        "high",
        "share",
        lambda o: o.facts.files.sensitive if o.facts.files else NAN,
    ),
    Feature(
        "stranger_sensitive",
        "files",
        "sensitive files changed by an author without a merge here",
        "ln(1 + n)",
        0,
        None,
        "files; " + PAST,
        NO_FILES_OR_PAST,
        ("pushed", "past"),
        "high",
        "count",
        lambda o: log1p(o.stranger_sensitive()),
    ),
    Feature(
        "files_binary",
        "files",
        "share of binary files",
        "share",
        0,
        1,
        "files",
        NO_FILES,
        ("pushed",),
        "high",
        "share",
        lambda o: o.facts.files.binary if o.facts.files else NAN,
    ),
    Feature(
        "files_unusual",
        "files",
        "unusual kinds of files",
        "nats a file",
        0,
        None,
        "files",
        NO_FILES,
        ("pushed", "words"),
        "high",
        "information",
        lambda o: o.files_unusual(),
    ),
    Feature(
        "files_folders",
        "files",
        "folders touched",
        "ln(1 + n)",
        0,
        None,
        "files",
        NO_FILES,
        ("pushed",),
        "both",
        "count",
        lambda o: log1p(o.facts.files.folders) if o.facts.files else NAN,
    ),
    Feature(
        "files_docs",
        "files",
        "share of documentation files",
        "share",
        0,
        1,
        "files",
        NO_FILES,
        ("pushed",),
        "both",
        "share",
        lambda o: o.facts.files.docs if o.facts.files else NAN,
    ),
    Feature(
        "files_tests",
        "files",
        "share of test files",
        "share",
        0,
        1,
        "files",
        NO_FILES,
        ("pushed",),
        "both",
        "share",
        lambda o: o.facts.files.tests if o.facts.files else NAN,
    ),
)
# fmt: on

FEATURES: tuple[Feature, ...] = _AUTHOR + _BRANCH + _TITLE + _BODY + _SIZE + _FILES
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
# Missing if and only if GitHub no longer knows the author.
AUTHOR_PAST = NAMES.index("author_opened")
ACCOUNT_AGE = NAMES.index("account_age")
TEXT_BLOCK = "text"
MISSING_BLOCK = "missing"
