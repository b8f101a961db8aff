"""What each benchmark is expected to show, and whether its figures do.

Ratios are within one run, so they mean the same on every machine; seconds do not, so none is expected here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EXIT_MISSED = 5
FETCH_SHARE = 10
# The page has no other room to say how its figures came about.
BLUEPRINT_FETCH = f"blueprint (every {FETCH_SHARE}th measured, times {FETCH_SHARE})"
Row = dict[str, Any]
Figures = Mapping[tuple[str, str], float]
"""Values by (what, who)."""


@dataclass(frozen=True)
class Bound:
    """An expectation: a figure, or one made from several, and its limit."""

    says: str
    value: Callable[[Figures], float]
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of an expectation; `value` is None where its figures were not measured."""

    says: str
    limit: str
    value: float | None
    met: bool | None

    @property
    def found(self) -> str:
        """The value, to read."""
        return "not measured" if self.value is None else f"{self.value:,.4g}"

    @property
    def word(self) -> str:
        """Whether it is met, to read."""
        return {True: "met", False: "MISSED", None: "-"}[self.met]


def _figure(what: str, who: str = "ours") -> Callable[[Figures], float]:
    return lambda figures: figures[what, who]


def _ratio(over: tuple[str, str], under: tuple[str, str]) -> Callable[[Figures], float]:
    return lambda figures: figures[over] / figures[under]


def _beside(peer: str, times: float) -> Iterable[Bound]:
    """So many times the requests of a peer, at no worse latency."""
    rate, late = "requests/s at 8", "p95 ms at 8"
    yield Bound(f"requests/s at 8, ours over {peer}", _ratio((rate, "ours"), (rate, peer)), least=times)
    yield Bound(f"p95 at 8, ours over {peer}", _ratio((late, "ours"), (late, peer)), most=1.0)


BOUNDS: dict[str, Sequence[Bound]] = {
    "fetch": (
        Bound(
            "calls cold, blueprint over ours",
            _ratio(("calls cold", BLUEPRINT_FETCH), ("calls cold", "ours")),
            least=25,
        ),
        Bound(
            "seconds cold, blueprint over ours",
            _ratio(("seconds cold", BLUEPRINT_FETCH), ("seconds cold", "ours")),
            least=15,
        ),
        Bound("calls with 1 % changed", _figure("calls 1 % changed"), most=60),
    ),
    "preprocess": (
        Bound("peak MB of all processes, 1,000,000 rows", _figure("peak MB 1000000 rows"), most=4_096),
        Bound(
            "cost of a row from 100,000 to 1,000,000, over that from 10,000 to 100,000",
            _ratio(
                ("microseconds a row, 100000 to 1000000", "ours"),
                ("microseconds a row, 10000 to 100000", "ours"),
            ),
            most=1.1,
        ),
    ),
    "training": (Bound("peak MB, 1,000,000 rows", _figure("peak MB 1000000 rows"), most=2_048),),
    "serving": (
        *_beside("mlflow", 20),
        *_beside("mlserver", 8),
        *_beside("bentoml", 4),
        Bound(
            "requests/s at 8, ours over echo on the same worker",
            _ratio(("requests/s at 8", "ours"), ("requests/s at 8", "echo")),
            least=0.6,
        ),
        Bound("rate at 64 over rate at 8", _figure("rate at 64 over rate at 8"), least=0.8),
        Bound("environment MB", _figure("environment MB"), most=450),
        Bound("start to ready, seconds", _figure("start to ready s"), most=3),
    ),
    "drift": (
        Bound("false alarm share", _figure("false alarm share"), most=0.05),
        *(
            Bound(f"detected share, {kind}", _figure(f"detected {kind}"), least=0.95)
            for kind in ("numerical_shift", "category_mismatch", "drop_column", "another repository")
        ),
    ),
}


def judge(bench: str, rows: Sequence[Row]) -> list[Verdict]:
    """Every expectation of a benchmark against its rows."""
    figures = {(row["what"], row["who"]): row["value"] for row in rows if row["value"] is not None}
    return [_verdict(bound, figures) for bound in BOUNDS.get(bench, ())]


def _verdict(bound: Bound, figures: Figures) -> Verdict:
    limit = f"at least {bound.least:g}" if bound.least is not None else f"at most {bound.most:g}"
    try:
        value = bound.value(figures)
    except KeyError:
        return Verdict(bound.says, limit, None, None)
    met = (bound.least is None or value >= bound.least) and (bound.most is None or value <= bound.most)
    return Verdict(bound.says, limit, value, met)


def report(bench: str, rows: Sequence[Row]) -> int:
    """Print what was expected and found; the exit code: 5 where an expectation is missed."""
    verdicts = judge(bench, rows)
    print("expected:")
    for one in verdicts:
        print(f"  {one.says:<74} {one.limit:>14}: {one.found:>12} {one.word}")
    missed = sum(one.met is False for one in verdicts)
    print(f"{bench}: {missed} of {len(verdicts)} expectations missed" if missed else f"{bench}: none missed")
    return EXIT_MISSED if missed else 0
