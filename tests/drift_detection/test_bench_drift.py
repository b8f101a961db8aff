"""The bench counts what it says: windows without a verdict are no success, neither quiet nor loud."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from drift_detection.reference import Reference
from drift_detection.window import Window
from made_up import errors_of, rows


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    file = Path(__file__).resolve().parents[2] / "perf" / "bench_drift.py"
    spec = importlib.util.spec_from_file_location("bench_drift", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(file.parent)  # where a script finds the modules beside it
        patch.setitem(sys.modules, "bench_drift", module)  # dataclasses look there
        spec.loader.exec_module(module)
        yield module


def recorded(n: int, shift: float = 0.0) -> Window:
    values = rows(np.random.default_rng(n), n, shift=shift)
    errors = errors_of(values)
    return Window(values, errors, errors > 4, np.arange(n))


def test_windows_without_a_verdict_are_counted_by_themselves(bench: ModuleType, reference: Reference) -> None:
    made = SimpleNamespace(reference=reference, error_quantiles=reference.quantiles, error_rows=2_000)
    tally, changed = bench.Tally(), "detected numerical_shift"
    for name, shift in ((bench.UNCHANGED, 0.0), (changed, 2.0)):
        bench.judge_windows(tally, name, made, recorded(400, shift), 10, 300, seed=0)
        # Drawn from ninety rows none is worth a hundred.
        bench.judge_windows(tally, name, made, recorded(90, shift), 10, 300, seed=1)
    assert tally.windows == {bench.UNCHANGED: 20, changed: 20}
    assert tally.silent == {bench.UNCHANGED: 10, changed: 10}
    # Nothing is said about unchanged ones; a change that was not seen was missed.
    assert tally.share(bench.UNCHANGED, "ours") == 0.0 and tally.by_holdout[bench.UNCHANGED] == [0.0]
    assert tally.share(changed, "ours") == 0.5
    assert (tally.by_holdout[changed], tally.worst(changed)) == ([1.0, 0.0], 0.0)
    table = bench.page_table(tally, 300, 2, "made up")
    assert "| numerical_shift | 50.0 % | 0.0 % | 10 | 100.0 % | at least 95 % |" in table


def test_nothing_judged_is_no_share(bench: ModuleType, reference: Reference) -> None:
    made = SimpleNamespace(reference=reference, error_quantiles=reference.quantiles, error_rows=2_000)
    tally = bench.Tally()
    bench.judge_windows(tally, bench.UNCHANGED, made, recorded(50), 10, 300, seed=0)
    assert tally.share(bench.UNCHANGED, "ours") is None
    assert "| - | - | 10 |" in bench.page_table(tally, 300, 1, "made up")
