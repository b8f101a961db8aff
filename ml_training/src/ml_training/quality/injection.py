"""Anomalies made from real documents by changing their raw fields; ``injections.toml`` says how strongly.

An anomaly is missing what its base is missing, lists as many files as it says it changes, and its author looks as
the corpus's authors look (hashed where they are): otherwise a detector could win by seeing that something was
injected and not what is odd about it.
"""

from __future__ import annotations

import math
import random
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

from pr_features.accounts import GREATEST_ID
from pr_features.history import repo_key

Document = Mapping[str, Any]
Changes = dict[str, Any]

COUNTS = ("additions", "deletions", "changed_files", "commits_count")
AUTHOR = ("author_login", "author_id", "author_type")
# None where they were not fetched, or not hidden when they were: no property of the pull request.
FETCHED = frozenset({*COUNTS, "files", "head_ref", "is_cross_repository"})
# Tries at another document that is missing the same.
_TRIES = 20
# GitHub lists no more files of a pull request.
_LISTED = 3_000
_HASHED_LOGIN = re.compile(r"author-[0-9a-f]{32}(?:\[bot\])?")
# GitHub hands out account numbers in order; ids of a year, roughly, for made-up newcomers.
_ACCOUNTS = {2008: 1, 2010: 170_000, 2012: 1_280_000, 2014: 6_300_000, 2016: 16_500_000, 2018: 34_900_000}
_ACCOUNTS |= {2020: 59_300_000, 2022: 96_900_000, 2024: 155_200_000, 2026: 252_000_000}


def declared() -> dict[str, Any]:
    """Content of ``injections.toml``."""
    return tomllib.loads(files("ml_training.quality").joinpath("injections.toml").read_text("utf-8"))


class Injector:
    """Turns documents into anomalies; the same seed and documents give the same ones.

    kinds: names in the order of the file.
    """

    def __init__(self, documents: Sequence[Document], seed: int, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.documents = documents
        self.seed = seed
        by_repository: dict[str, list[Document]] = defaultdict(list)
        for document in documents:
            by_repository[repo_key(document["repo_name"])].append(document)
        least = settings["set"]["own_repository_from"]
        self._own = {name: group for name, group in by_repository.items() if len(group) >= least}
        self._authored = [document for document in documents if _has_author(document)]
        self._largest = {
            field: max((document[field] or 0 for document in documents), default=0) for field in COUNTS
        }

    def inject(self, kind: str, position: int) -> dict[str, Any]:
        """The position-th anomaly of a kind: a changed copy of a document drawn for it."""
        rng = random.Random(f"{self.seed}/{kind}/{position}")  # noqa: S311 - simulation
        base = rng.choice(self.documents)
        changes = _KINDS[kind](self, base, rng, self.settings[kind])
        if "files" not in changes and changes.get("changed_files") is not None and base["files"] is not None:
            changes["files"] = _listed(base["files"], changes["changed_files"])
        missing = {field: None for field in FETCHED if base[field] is None}
        return {**base, "merged_at": None, "closed_at": None, **changes, **missing}

    def like(self, base: Document, rng: random.Random, fields: Sequence[str] = ()) -> Document:
        """Another document that its values may come from: of the same repository where that is large.

        One that has or lacks the ``fields`` as the base does; the base itself where none is found.
        """
        compared = [field for field in fields if field in FETCHED]
        for _ in range(_TRIES):
            other = rng.choice(self._own.get(repo_key(base["repo_name"]), self.documents))
            if all((other[field] is None) == (base[field] is None) for field in compared):
                return other
        return base

    def author_like(self, base: Document, rng: random.Random) -> Document | None:
        """A document whose author shows what authors look like here; None where the corpus names no author."""
        if _has_author(base):
            return base
        return rng.choice(self._authored) if self._authored else None

    def largest(self, field: str) -> int:
        """Largest value of a count."""
        return self._largest[field]


def kinds() -> tuple[str, ...]:
    """Every kind of anomaly, in the order of the file."""
    return tuple(name for name in declared() if name != "set")


def _mixed(injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]) -> Changes:
    changes: Changes = {}
    for group in at["groups"]:
        other = injector.like(base, rng, group)
        changes |= {field: other[field] for field in group}
    return changes


def _global(injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]) -> Changes:
    sources = [injector.like(base, rng) for _ in range(20)]
    text = " ".join(f"{source['title'] or ''} {source['body'] or ''}" for source in sources)
    words = text.split() or ["x"]
    changes: Changes = {
        field: _between(rng, [0, injector.largest(field)]) for field in COUNTS if base[field] is not None
    }
    changes["title"] = " ".join(rng.choices(words, k=_between(rng, at["title_words"])))[:250]
    changes["body"] = " ".join(rng.choices(words, k=_between(rng, at["body_words"])))
    changes["head_ref"] = injector.like(base, rng, ["head_ref"])["head_ref"]
    if rng.random() < at["stranger_share"]:
        return changes | _stranger(injector, base, rng, [0.02, 10.0])
    other = injector.like(base, rng)
    return changes | {field: other[field] for field in AUTHOR}


def _local_noise(injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]) -> Changes:
    changes: Changes = {}
    for field in COUNTS:
        if base[field] is not None:
            disturbed = math.expm1(math.log1p(base[field]) + rng.gauss(0.0, at["sigma"]))
            # Nobody opens a pull request without a commit or a file.
            least = 1 if field in {"changed_files", "commits_count"} else 0
            changes[field] = min(max(least, round(disturbed)), 2**31 - 1)
    words = (base["title"] or "").split()
    changes["title"] = " ".join(words[: max(1, round(len(words) * rng.uniform(*at["keep_title"])))])
    body = base["body"] or ""
    changes["body"] = body[: round(len(body) * rng.uniform(*at["keep_body"]))] or None
    return changes


def _huge(injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]) -> Changes:
    return {field: _between(rng, at[field]) for field in COUNTS}


def _newcomer_sensitive(
    injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]
) -> Changes:
    count = _between(rng, at["files"])
    paths = rng.sample(at["paths"], count)
    listed = [
        {
            "path": path,
            "additions": _between(rng, at["lines_a_file"]),
            "deletions": rng.randrange(0, 4),
        }
        for path in sorted(paths)
    ]
    changes: Changes = {
        "additions": sum(file["additions"] for file in listed),
        "deletions": sum(file["deletions"] for file in listed),
        "changed_files": count,
        "commits_count": 1,
        **_stranger(injector, base, rng, at["account_years"]),
    }
    changes["files"] = listed
    if rng.random() < at["web_editor_share"]:
        changes |= {"title": f"Update {paths[0].rpartition('/')[2]}", "head_ref": "patch-1", "body": None}
    return changes


def _foreign_text(injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]) -> Changes:
    words = at["words"].split()
    return {
        "title": " ".join(rng.choices(words, k=_between(rng, at["title_words"]))),
        "body": " ".join(rng.choices(words, k=_between(rng, at["body_words"]))),
    }


def _drive_by(injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]) -> Changes:
    return {
        "title": rng.choice(at["titles"]),
        "body": rng.choice(at["bodies"]) or None,
        "head_ref": _head(rng, at, base),
        "additions": _between(rng, at["additions"]),
        "deletions": _between(rng, at["deletions"]),
        "changed_files": 1,
        "commits_count": 1,
        **_stranger(injector, base, rng, at["account_years"]),
    }


def _mass_deletion(injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]) -> Changes:
    return {
        "title": rng.choice(at["titles"]),
        "body": None,
        "head_ref": _head(rng, at, base),
        "additions": _between(rng, at["additions"]),
        "deletions": _between(rng, at["deletions"]),
        "changed_files": _between(rng, at["changed_files"]),
        "commits_count": 1,
        **_stranger(injector, base, rng, at["account_years"]),
    }


_KINDS: dict[str, Callable[[Injector, Document, random.Random, Mapping[str, Any]], Changes]] = {
    "mixed": _mixed,
    "global": _global,
    "local_noise": _local_noise,
    "huge": _huge,
    "newcomer_sensitive": _newcomer_sensitive,
    "foreign_text": _foreign_text,
    "drive_by": _drive_by,
    "mass_deletion": _mass_deletion,
}


def _between(rng: random.Random, bounds: Sequence[int]) -> int:
    """A count from low to high, evenly on the scale of ln(1 + n)."""
    low, high = math.log1p(bounds[0]), math.log1p(bounds[1])
    return min(max(round(math.expm1(rng.uniform(low, high))), bounds[0]), bounds[1])


def _head(rng: random.Random, at: Mapping[str, Any], base: Document) -> str:
    head = str(rng.choice(at["heads"]))
    return (base["base_ref"] or "main") if head == "BASE" else head


def _listed(files: Sequence[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """The base's files cut to a new count, or with more of their kind beside them."""
    known = [dict(file) for file in files] or [{"path": "README.md", "additions": 1, "deletions": 0}]
    found = []
    for position in range(min(count, _LISTED)):
        file = known[position % len(known)]
        folder, slash, name = file["path"].rpartition("/")
        beside = f"{folder}{slash}{position // len(known)}-{name}"
        found.append(file if position < len(known) else {**file, "path": beside})
    return found


def _has_author(document: Document) -> bool:
    return document["author_login"] is not None or document["author_id"] is not None


def _stranger(injector: Injector, base: Document, rng: random.Random, years: Sequence[float]) -> Changes:
    """An author of nothing else in the data, whose account is so many years old, from a fork."""
    shape = injector.author_like(base, rng)
    if shape is None:
        return {"is_cross_repository": True}
    number = rng.getrandbits(48)
    author: Changes = {
        "author_login": f"stranger-{number:x}",
        "author_id": _account(base["created_at"], rng.uniform(*years), rng),
        "author_type": "User",
    }
    # As pr_features.documents.hash_author writes them.
    if _HASHED_LOGIN.fullmatch(shape["author_login"] or ""):
        author["author_login"] = f"author-{rng.getrandbits(128):032x}"
    if (shape["author_id"] or 0) > GREATEST_ID:
        author["author_id"] = rng.randrange(GREATEST_ID + 1, 2**63)
    known = {field: value if shape[field] is not None else None for field, value in author.items()}
    return {**known, "is_cross_repository": True}


def _account(moment: datetime, years: float, rng: random.Random) -> int:
    """An account id as GitHub gave them out so many years before ``moment``; odd ids avoid no real account."""
    year = max(2008.01, moment.year + moment.timetuple().tm_yday / 366 - years)
    known = sorted(_ACCOUNTS)
    position = max(0, min(len(known) - 2, sum(year >= other for other in known) - 1))
    first, second = known[position], known[position + 1]
    share = (year - first) / (second - first)
    low, high = _ACCOUNTS[first], _ACCOUNTS[second]
    return max(1, int(low + share * (high - low)) + rng.randrange(-500, 500))
