"""What is usual for a repository: shares of flags, medians and spreads of sizes of its pull requests.

A quantity of one pull request becomes a small integer, its *bin*: a flag is 0 or 1, a size is counted in
twelfths of a natural logarithm. Histograms of integers can be added in any order without rounding, so
norms do not depend on how the data were partitioned, and a month's norms are those of the months before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from .facts import FLAGS, Facts

BINS_PER_UNIT = 12
# Quartiles closer than this (a factor of 1.6) are an artefact of a few equal values.
LEAST_SPREAD = 0.5
# A repository counts as much as the prior once it has this many pull requests.
PRIOR_WEIGHT = 8.0
NORM_WIDTH = (
    3  # count, centre (share, or median of ln(1 + n)), spread (distance of the quartiles; 0 for a share)
)


class Size(NamedTuple):
    """A count of the document; priors of ln(1 + n) for a repository of which nothing is known."""

    name: str
    median: float
    spread: float


SIZES: tuple[Size, ...] = (
    Size("additions", 3.2, 3.0),
    Size("deletions", 2.0, 3.3),
    Size("changed_files", 1.1, 1.0),
    Size("commits_count", 0.9, 0.7),
)
QUANTITIES: tuple[str, ...] = (*(flag.name for flag in FLAGS), *(size.name for size in SIZES))
_PRIOR = {flag.name: (flag.prior, 0.0) for flag in FLAGS} | {s.name: (s.median, s.spread) for s in SIZES}
_POSITION = {name: index * NORM_WIDTH for index, name in enumerate(QUANTITIES)}


class Norm(NamedTuple):
    """The pull requests behind it; a share, or median and distance of the quartiles of ln(1 + n)."""

    pulls: float
    centre: float
    spread: float


def norm_bins(facts: Facts) -> tuple[int | None, ...]:
    """The bins of one pull request in the order of QUANTITIES; None for what is not known."""
    sizes = (facts.document.get(size.name) for size in SIZES)
    flags = (None if flag is None else int(flag) for flag in facts.flags())
    return (*flags, *map(_size_bin, sizes))


def norms_from_histograms(histograms: Sequence[Mapping[int, int]]) -> tuple[float, ...]:
    """Flat norms (count, centre, spread for each of QUANTITIES) from one histogram {bin: count} each."""
    flat: list[float] = []
    for index, histogram in enumerate(histograms):
        count = sum(histogram.values())
        if not count:
            flat += [0.0, 0.0, 0.0]
        elif index < len(FLAGS):
            flat += [float(count), histogram.get(1, 0) / count, 0.0]
        else:
            lower, median, upper = _quartiles(histogram, count)
            flat += [float(count), median, upper - lower]
    if len(flat) != len(NO_NORMS):
        raise ValueError(f"expected {len(QUANTITIES)} histograms, found {len(histograms)}")
    return tuple(flat)


class Norms(tuple[float, ...]):
    """Flat norms with what follows from them, worked out once for all pull requests that share them."""

    @cached_property
    def by_name(self) -> dict[str, Norm]:
        """The norm of each of QUANTITIES, drawn towards the prior, the more so the fewer pull requests it has."""
        return {name: self._drawn(name) for name in QUANTITIES}

    @cached_property
    def surprises(self) -> tuple[float, ...]:
        """How unusual each of FLAGS is when true: sqrt(-2 ln p), whose square is twice the information."""
        return tuple([math.sqrt(max(0.0, -2.0 * math.log(self.by_name[flag.name].centre))) for flag in FLAGS])

    @cached_property
    def sizes(self) -> dict[str, tuple[float, float]]:
        """(median, distance of the quartiles or LEAST_SPREAD) of ln(1 + n) for each of SIZES."""
        found = {size.name: self.by_name[size.name] for size in SIZES}
        return {name: (norm.centre, max(norm.spread, LEAST_SPREAD)) for name, norm in found.items()}

    def _drawn(self, name: str) -> Norm:
        position = _POSITION[name]
        count = self[position]
        centre, spread = _PRIOR[name]
        weight = count / (count + PRIOR_WEIGHT)
        return Norm(
            count,
            weight * self[position + 1] + (1.0 - weight) * centre,
            weight * self[position + 2] + (1.0 - weight) * spread,
        )


NO_NORMS = Norms((0.0, 0.0, 0.0) * len(QUANTITIES))


def norm_of(norms: Sequence[float], name: str) -> Norm:
    """The repository's norm of one of QUANTITIES (see Norms.by_name)."""
    return (norms if isinstance(norms, Norms) else Norms(norms)).by_name[name]


def _quartiles(histogram: Mapping[int, int], count: int) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile, the lower value where two are equally right."""
    wanted = [0.25 * count, 0.5 * count, 0.75 * count]
    found: list[float] = []
    seen = 0
    for value in sorted(histogram):
        seen += histogram[value]
        while len(found) < len(wanted) and seen >= wanted[len(found)]:
            found.append(value / BINS_PER_UNIT)
    return found[0], found[1], found[2]


def _size_bin(value: int | None) -> int | None:
    return None if value is None else round(BINS_PER_UNIT * math.log1p(value))
