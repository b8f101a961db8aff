"""Every row feature: what it means, where it comes from, and how it is computed. The one list of them.

The README's table, the wording of reasons and the schema of the feature table are made from it. To add a
feature, add an entry; nothing else names features one by one. Nothing here may look at what happens after
the pull request was opened or last pushed to: state, merge, closing, later labels, comments, reviews.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from . import text
from .facts import NAN, Facts, foreign_share, log2_1p, ratio, upper_share

Block = Literal["size", "title", "body", "branch", "author", "time", "norm", "files"]
Show = Literal["count", "share", "flag", "bits", "spreads", "days", "hour", "length"]


@dataclass(frozen=True)
class Feature:
    """One number of a row.

    Attributes:
        name: column name in the feature table.
        block: features of a block share one weight in the reconstruction error.
        label: what a reason calls it.
        unit: of the stored value, after the transformation named here.
        low, high: closed range of the stored value; None is open.
        source: GitHub REST fields it is made from.
        missing: when it has no value; None for a feature that always has one.
        show: how a reason prints it.
        value: computes it; NaN means missing.
        norm: the repository norm (``norms.QUANTITIES``) that says what is usual, if there is one.
    """

    name: str
    block: Block
    label: str
    unit: str
    low: float | None
    high: float | None
    source: str
    missing: str | None
    show: Show
    value: Callable[[Facts], float]
    norm: str | None = None


NO_SIZES = "sizes not fetched (a list's object has none)"
NO_BRANCH = "branch not known (2015 forks that were deleted)"
NO_AUTHOR = "author unknown (deleted account)"
NO_FILES = "files not fetched"
DOUBLINGS = "log2(1 + n)"


def _lines_per_file(facts: Facts) -> float:
    files = facts.count("changed_files")
    return log2_1p(ratio(facts.lines, files)) if files > 0 else NAN


def _deleted_share(facts: Facts) -> float:
    return ratio(facts.count("deletions"), facts.lines) if facts.lines > 0 else NAN


_HOUR = [(math.sin(math.tau * hour / 24), math.cos(math.tau * hour / 24)) for hour in range(24)]

# fmt: off  (a table: one entry's fields side by side)
_SIZE: tuple[Feature, ...] = (
    Feature(
        "additions",
        "size",
        "lines added",
        DOUBLINGS,
        0,
        None,
        "additions",
        NO_SIZES,
        "count",
        lambda f: log2_1p(f.count("additions")),
    ),
    Feature(
        "deletions",
        "size",
        "lines removed",
        DOUBLINGS,
        0,
        None,
        "deletions",
        NO_SIZES,
        "count",
        lambda f: log2_1p(f.count("deletions")),
    ),
    Feature(
        "changed_files",
        "size",
        "files changed",
        DOUBLINGS,
        0,
        None,
        "changed_files",
        NO_SIZES,
        "count",
        lambda f: log2_1p(f.count("changed_files")),
        norm="files",
    ),
    Feature(
        "commits",
        "size",
        "commits",
        DOUBLINGS,
        0,
        None,
        "commits",
        NO_SIZES,
        "count",
        lambda f: log2_1p(f.count("commits_count")),
    ),
    Feature(
        "lines_per_file",
        "size",
        "lines a file",
        DOUBLINGS,
        0,
        None,
        "additions, deletions, changed_files",
        NO_SIZES + " or no file changed",
        "count",
        _lines_per_file,
    ),
    Feature(
        "deleted_share",
        "size",
        "share of removed lines",
        "share",
        0,
        1,
        "additions, deletions",
        NO_SIZES + " or no line changed",
        "share",
        _deleted_share,
    ),
)

_TITLE: tuple[Feature, ...] = (
    Feature(
        "title_length",
        "title",
        "characters in the title",
        DOUBLINGS,
        0,
        None,
        "title",
        None,
        "length",
        lambda f: log2_1p(len(f.title)),
        norm="title_length",
    ),
    Feature(
        "title_words",
        "title",
        "words in the title",
        DOUBLINGS,
        0,
        None,
        "title",
        None,
        "count",
        lambda f: log2_1p(len(f.title_words)),
    ),
    Feature(
        "title_upper_share",
        "title",
        "capitals in the title",
        "share",
        0,
        1,
        "title",
        "no letters",
        "share",
        lambda f: upper_share(f.title),
    ),
    Feature(
        "title_foreign_share",
        "title",
        "letters outside the Latin script in the title",
        "share",
        0,
        1,
        "title",
        "no letters",
        "share",
        lambda f: foreign_share(f.title),
    ),
    Feature(
        "title_default",
        "title",
        "title as GitHub's web editor fills it in",
        "0 or 1",
        0,
        1,
        "title",
        None,
        "flag",
        lambda f: f.title_default,
    ),
    Feature(
        "title_surprise",
        "title",
        "unusual words in the title",
        "bits a word",
        0,
        None,
        "title",
        "no words",
        "bits",
        lambda f: f.title_surprise,
    ),
    Feature(
        "title_unknown",
        "title",
        "words in the title never seen before",
        "share",
        0,
        1,
        "title",
        "no words",
        "share",
        lambda f: f.title_unknown,
    ),
)

_BODY: tuple[Feature, ...] = (
    Feature(
        "body_length",
        "body",
        "characters in the description",
        DOUBLINGS,
        0,
        None,
        "body",
        None,
        "length",
        lambda f: log2_1p(len(f.body)),
    ),
    Feature(
        "own_length",
        "body",
        "own characters in the description",
        DOUBLINGS,
        0,
        None,
        "body",
        None,
        "length",
        lambda f: log2_1p(len(f.own)),
        norm="body_length",
    ),
    Feature(
        "body_empty",
        "body",
        "description empty or an untouched template",
        "0 or 1",
        0,
        1,
        "body",
        None,
        "flag",
        lambda f: float(not f.own),
        norm="body_empty",
    ),
    Feature(
        "body_links",
        "body",
        "links in the description",
        DOUBLINGS,
        0,
        None,
        "body",
        None,
        "count",
        lambda f: log2_1p(text.links(f.own)),
    ),
    Feature(
        "body_mentions",
        "body",
        "people mentioned in the description",
        DOUBLINGS,
        0,
        None,
        "body",
        None,
        "count",
        lambda f: log2_1p(text.mentions(f.own)),
    ),
    Feature(
        "body_references",
        "body",
        "issues referred to in the description",
        DOUBLINGS,
        0,
        None,
        "body",
        None,
        "count",
        lambda f: log2_1p(text.references(f.own)),
    ),
    Feature(
        "body_code",
        "body",
        "code in the description",
        DOUBLINGS,
        0,
        None,
        "body",
        None,
        "count",
        lambda f: log2_1p(f.own.count("`")),
    ),
    Feature(
        "body_foreign_share",
        "body",
        "letters outside the Latin script in the description",
        "share",
        0,
        1,
        "body",
        "no letters",
        "share",
        lambda f: foreign_share(f.own),
    ),
    Feature(
        "body_surprise",
        "body",
        "unusual words in the description",
        "bits a word",
        0,
        None,
        "body",
        "no words",
        "bits",
        lambda f: f.body_surprise,
    ),
    Feature(
        "body_unknown",
        "body",
        "words in the description never seen before",
        "share",
        0,
        1,
        "body",
        "no words",
        "share",
        lambda f: f.body_unknown,
    ),
)

_BRANCH: tuple[Feature, ...] = (
    Feature(
        "head_default",
        "branch",
        "proposed from a default branch",
        "0 or 1",
        0,
        1,
        "head.ref",
        NO_BRANCH,
        "flag",
        lambda f: f.head_default,
        norm="head_default",
    ),
    Feature(
        "head_patch",
        "branch",
        "proposed from a branch named patch-N",
        "0 or 1",
        0,
        1,
        "head.ref",
        NO_BRANCH,
        "flag",
        lambda f: f.patch_branch(),
    ),
    Feature(
        "head_length",
        "branch",
        "characters in the branch name",
        DOUBLINGS,
        0,
        None,
        "head.ref",
        NO_BRANCH,
        "length",
        lambda f: NAN if f.head is None else log2_1p(len(f.head)),
    ),
    Feature(
        "draft",
        "branch",
        "opened as a draft",
        "0 or 1",
        0,
        1,
        "draft",
        "API before 2019",
        "flag",
        lambda f: f.count("is_draft"),
    ),
    Feature(
        "from_fork",
        "branch",
        "proposed from a fork",
        "0 or 1",
        0,
        1,
        "head.repo, base.repo",
        "fork deleted before it was fetched",
        "flag",
        lambda f: f.fork,
        norm="from_fork",
    ),
)

_AUTHOR: tuple[Feature, ...] = (
    Feature(
        "author_opened",
        "author",
        "earlier pull requests of the author here",
        DOUBLINGS,
        0,
        None,
        "user, created_at of earlier pull requests",
        NO_AUTHOR,
        "count",
        lambda f: log2_1p(f.author_opened),
    ),
    Feature(
        "newcomer",
        "author",
        "author's first pull request here",
        "0 or 1",
        0,
        1,
        "user, created_at of earlier pull requests",
        NO_AUTHOR,
        "flag",
        lambda f: f.newcomer,
        norm="newcomer",
    ),
    Feature(
        "author_merge_share",
        "author",
        "share of the author's earlier pull requests merged by then",
        "share",
        0,
        1,
        "user, merged_at of earlier pull requests",
        "newcomer or author unknown",
        "share",
        lambda f: f.author_merge_share,
    ),
    Feature(
        "author_last_opened",
        "author",
        "time since the author's previous pull request here",
        "log2(1 + hours)",
        0,
        None,
        "user, created_at of earlier pull requests",
        "newcomer or author unknown",
        "days",
        lambda f: log2_1p(f.author_last_opened / 3600),
    ),
    Feature(
        "bot",
        "author",
        "opened by an application",
        "0 or 1",
        0,
        1,
        "user.type",
        NO_AUTHOR,
        "flag",
        lambda f: f.bot,
        norm="bot",
    ),
)

_TIME: tuple[Feature, ...] = (
    Feature(
        "hour_sine",
        "time",
        "hour of the day (UTC)",
        "sine of the hour's angle",
        -1,
        1,
        "created_at",
        None,
        "hour",
        lambda f: _HOUR[f.document["created_at"].hour][0],
    ),
    Feature(
        "hour_cosine",
        "time",
        "hour of the day (UTC)",
        "cosine of the hour's angle",
        -1,
        1,
        "created_at",
        None,
        "hour",
        lambda f: _HOUR[f.document["created_at"].hour][1],
    ),
    Feature(
        "weekend",
        "time",
        "opened on a weekend (UTC)",
        "0 or 1",
        0,
        1,
        "created_at",
        None,
        "flag",
        lambda f: float(f.document["created_at"].weekday() >= 5),
    ),
)

_NORM: tuple[Feature, ...] = (
    Feature(
        "lines_here",
        "norm",
        "lines changed, against this repository",
        "spreads above the median",
        None,
        None,
        "additions, deletions",
        NO_SIZES,
        "spreads",
        lambda f: f.against_norm("lines", f.lines),
        norm="lines",
    ),
    Feature(
        "files_here",
        "norm",
        "files changed, against this repository",
        "spreads above the median",
        None,
        None,
        "changed_files",
        NO_SIZES,
        "spreads",
        lambda f: f.against_norm("files", f.count("changed_files")),
        norm="files",
    ),
    Feature(
        "title_length_here",
        "norm",
        "length of the title, against this repository",
        "spreads above the median",
        None,
        None,
        "title",
        None,
        "spreads",
        lambda f: f.against_norm("title_length", len(f.title)),
        norm="title_length",
    ),
    Feature(
        "body_length_here",
        "norm",
        "length of the description, against this repository",
        "spreads above the median",
        None,
        None,
        "body",
        None,
        "spreads",
        lambda f: f.against_norm("body_length", len(f.own)),
        norm="body_length",
    ),
    Feature(
        "newcomer_here",
        "norm",
        "newcomer or not, as seldom as that is here",
        "bits",
        0,
        None,
        "user, created_at of earlier pull requests",
        NO_AUTHOR,
        "bits",
        lambda f: f.surprise_of("newcomer", f.newcomer),
        norm="newcomer",
    ),
    Feature(
        "body_empty_here",
        "norm",
        "description empty or not, as seldom as that is here",
        "bits",
        0,
        None,
        "body",
        None,
        "bits",
        lambda f: f.surprise_of("body_empty", float(not f.own)),
        norm="body_empty",
    ),
    Feature(
        "head_default_here",
        "norm",
        "default branch or not, as seldom as that is here",
        "bits",
        0,
        None,
        "head.ref",
        NO_BRANCH,
        "bits",
        lambda f: f.surprise_of("head_default", f.head_default),
        norm="head_default",
    ),
    Feature(
        "from_fork_here",
        "norm",
        "fork or not, as seldom as that is here",
        "bits",
        0,
        None,
        "head.repo, base.repo",
        "fork deleted before it was fetched",
        "bits",
        lambda f: f.surprise_of("from_fork", f.fork),
        norm="from_fork",
    ),
)

_FILES: tuple[Feature, ...] = (
    Feature(
        "files_docs",
        "files",
        "share of documentation files",
        "share",
        0,
        1,
        "files",
        NO_FILES,
        "share",
        lambda f: f.files.docs if f.files else NAN,
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
        "share",
        lambda f: f.files.tests if f.files else NAN,
    ),
    Feature(
        "files_sensitive",
        "files",
        "share of CI, dependency, build and binary files",
        "share",
        0,
        1,
        "files",
        NO_FILES,
        "share",
        lambda f: f.files.sensitive if f.files else NAN,
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
        "share",
        lambda f: f.files.binary if f.files else NAN,
    ),
    Feature(
        "files_folders",
        "files",
        "folders touched",
        DOUBLINGS,
        0,
        None,
        "files",
        NO_FILES,
        "count",
        lambda f: log2_1p(f.files.folders) if f.files else NAN,
    ),
)

# fmt: on

FEATURES: tuple[Feature, ...] = _SIZE + _TITLE + _BODY + _BRANCH + _AUTHOR + _TIME + _NORM + _FILES
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
TEXT_BLOCK = "text"
