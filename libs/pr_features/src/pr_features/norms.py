"""What is usual for a repository: medians, spreads and shares of a few quantities of its pull requests.

A quantity of one pull request becomes a small integer, its *bin*: a size is counted in eighths of a
doubling, a yes/no quantity is 0 or 1. Histograms of integers can be added in any order without
rounding, so norms do not depend on how the data were partitioned, and a month's norms are those of the
months before it plus its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from .text import own_text

Document = Mapping[str, Any]

BINS_PER_DOUBLING = 8
# Normal distributions have 1.349 standard deviations between their quartiles.
QUARTILES_TO_STD = 1 / 1.349
# A repository counts as much as the whole corpus once it has this many pull requests.
SHRINK_WEIGHT = 20.0

NORM_WIDTH = 3  # count, centre (median in doublings, or share), spread (in doublings; 0 for a share)


class Quantity(NamedTuple):
    name: str
    kind: Literal["size", "share"]


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("lines", "size"),
    Quantity("files", "size"),
    Quantity("title_length", "size"),
    Quantity("body_length", "size"),
    Quantity("newcomer", "share"),
    Quantity("body_empty", "share"),
    Quantity("head_default", "share"),
    Quantity("from_fork", "share"),
    Quantity("bot", "share"),
)
POSITION = {quantity.name: index * NORM_WIDTH for index, quantity in enumerate(QUANTITIES)}
NO_NORMS: tuple[float, ...] = (0.0, 0.0, 0.0) * len(QUANTITIES)

DEFAULT_BRANCHES = frozenset({"main", "master", "develop", "dev", "development", "trunk", "gh-pages"})


class Norm(NamedTuple):
    """The pull requests behind it; centre and spread in doublings for a size, centre a share else."""

    pulls: float
    centre: float
    spread: float


def doublings(value: float) -> float:
    """log2(1 + value): 0 stays 0, and one more is twice as much."""
    return math.log2(1.0 + value)


def head_is_default(document: Document) -> bool | None:
    """Whether the change comes from a branch named like a default branch, or from its own base's name."""
    head = document.get("head_ref")
    if head is None:
        return None
    return head.lower() in DEFAULT_BRANCHES or head == document.get("base_ref")


def is_bot(document: Document) -> bool | None:
    """Whether GitHub says that the author is an application; None when it does not say."""
    kind = document.get("author_type")
    return None if kind is None else kind == "Bot"


def changed_lines(document: Document) -> int | None:
    additions, deletions = document.get("additions"), document.get("deletions")
    return None if additions is None or deletions is None else additions + deletions


def norm_bins(document: Document, author_opened: int | None) -> tuple[int | None, ...]:
    """The bins of one pull request in the order of QUANTITIES; None where it is not known."""
    own = own_text(document.get("body") or "")
    return (
        _size_bin(changed_lines(document)),
        _size_bin(document.get("changed_files")),
        _size_bin(len((document.get("title") or "").strip())),
        _size_bin(len(own)),
        None if author_opened is None else int(author_opened == 0),
        int(not own),
        _flag_bin(head_is_default(document)),
        _flag_bin(document.get("is_cross_repository")),
        _flag_bin(is_bot(document)),
    )


def norms_from_histograms(histograms: Sequence[Mapping[int, int]]) -> tuple[float, ...]:
    """Flat norms (count, centre, spread for each quantity) of one histogram {bin: count} a quantity."""
    flat: list[float] = []
    for quantity, histogram in zip(QUANTITIES, histograms, strict=True):
        count = sum(histogram.values())
        if not count:
            flat += [0.0, 0.0, 0.0]
        elif quantity.kind == "share":
            flat += [float(count), histogram.get(1, 0) / count, 0.0]
        else:
            lower, median, upper = _quantiles(histogram, count)
            spread = (upper - lower) * QUARTILES_TO_STD
            flat += [float(count), median, spread]
    return tuple(flat)


def shrunk(norms: Sequence[float], corpus: Sequence[float], name: str) -> Norm:
    """The repository's norm drawn towards the corpus's, the more so the fewer pull requests it has."""
    position = POSITION[name]
    count = norms[position]
    weight = count / (count + SHRINK_WEIGHT)
    centre = weight * norms[position + 1] + (1.0 - weight) * corpus[position + 1]
    spread = weight * norms[position + 2] + (1.0 - weight) * corpus[position + 2]
    return Norm(count, centre, spread)


def _quantiles(histogram: Mapping[int, int], count: int) -> tuple[float, float, float]:
    """The lower quartile, median and upper quartile (lower ones of a tie) in doublings."""
    wanted = [0.25 * count, 0.5 * count, 0.75 * count]
    found: list[float] = []
    seen = 0
    for value in sorted(histogram):
        seen += histogram[value]
        while len(found) < len(wanted) and seen >= wanted[len(found)]:
            found.append(value / BINS_PER_DOUBLING)
    return found[0], found[1], found[2]


def _size_bin(value: int | None) -> int | None:
    return None if value is None else round(BINS_PER_DOUBLING * doublings(value))


def _flag_bin(value: bool | None) -> int | None:
    return None if value is None else int(value)
