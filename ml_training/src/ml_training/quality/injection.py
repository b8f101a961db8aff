"""Anomalies made from real documents by changing their raw fields; ``injections.toml`` says how strongly."""

from __future__ import annotations

import math
import random
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

Document = Mapping[str, Any]
Changes = dict[str, Any]

COUNTS = ("additions", "deletions", "changed_files", "commits_count")
AUTHOR = ("author_login", "author_id", "author_type")
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
            by_repository[document["repo_name"]].append(document)
        least = settings["set"]["own_repository_from"]
        self._own = {name: group for name, group in by_repository.items() if len(group) >= least}
        self._largest = {
            field: max((document[field] or 0 for document in documents), default=0) for field in COUNTS
        }

    def inject(self, kind: str, position: int) -> dict[str, Any]:
        """The position-th anomaly of a kind: a changed copy of a document drawn for it."""
        rng = random.Random(f"{self.seed}/{kind}/{position}")  # noqa: S311 - simulation
        base = rng.choice(self.documents)
        changes = _KINDS[kind](self, base, rng, self.settings[kind])
        return {**base, "merged_at": None, "closed_at": None, **changes}

    def like(self, base: Document, rng: random.Random) -> Document:
        """Another document that its values may come from: of the same repository where that is large."""
        return rng.choice(self._own.get(base["repo_name"], self.documents))

    def largest(self, field: str) -> int:
        """Largest value of a count."""
        return self._largest[field]


def kinds() -> tuple[str, ...]:
    """Every kind of anomaly, in the order of the file."""
    return tuple(name for name in declared() if name != "set")


def _mixed(injector: Injector, base: Document, rng: random.Random, at: Mapping[str, Any]) -> Changes:
    changes: Changes = {}
    for group in at["groups"]:
        other = injector.like(base, rng)
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
    changes["head_ref"] = injector.like(base, rng)["head_ref"]
    if rng.random() < at["stranger_share"]:
        return changes | _stranger(base, rng, [0.02, 10.0])
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
        **_stranger(base, rng, at["account_years"]),
    }
    # Where files are never fetched a list of them would give the anomaly away by being there.
    if base["files"] is not None:
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
        **_stranger(base, rng, at["account_years"]),
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
        **_stranger(base, rng, at["account_years"]),
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


def _stranger(base: Document, rng: random.Random, years: Sequence[float]) -> Changes:
    """An author of nothing else in the data, whose account is so many years old, from a fork."""
    number = rng.getrandbits(48)
    return {
        "author_login": f"stranger-{number:x}",
        "author_id": _account(base["created_at"], rng.uniform(*years), rng),
        "author_type": "User",
        "is_cross_repository": True,
    }


def _account(moment: datetime, years: float, rng: random.Random) -> int:
    """An account id as GitHub gave them out so many years before ``moment``; odd ids avoid no real account."""
    year = max(2008.01, moment.year + moment.timetuple().tm_yday / 366 - years)
    known = sorted(_ACCOUNTS)
    position = max(0, min(len(known) - 2, sum(year >= other for other in known) - 1))
    first, second = known[position], known[position + 1]
    share = (year - first) / (second - first)
    low, high = _ACCOUNTS[first], _ACCOUNTS[second]
    return max(1, int(low + share * (high - low)) + rng.randrange(-500, 500))
