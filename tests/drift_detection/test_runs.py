from datetime import UTC, datetime, timedelta
from pathlib import Path

from drift_detection.store import FolderStore

from drift_detection import runs

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def publish(store: FolderStore, count: int) -> list[str]:
    names = [runs.new_run_id(NOW + timedelta(minutes=10 * number)) for number in range(count)]
    for name in names:
        runs.publish(store, name, {"run_id": name}, b"<html>")
    return names


def pages(store: FolderStore) -> list[str]:
    return [entry.path.split("/")[1] for entry in store.entries(runs.RUNS) if entry.path.endswith(".html")]


def test_names_sort_by_time_and_differ(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    names = publish(store, 30)
    assert names == sorted(names)
    assert runs.new_run_id(NOW) != runs.new_run_id(NOW)
    assert runs.new_run_id(NOW) < runs.new_run_id(NOW + timedelta(milliseconds=1))
    assert runs.latest(store) == {"run_id": names[-1]}


def test_an_older_run_that_ends_later_does_not_replace_the_newest(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    early, late = (runs.new_run_id(NOW + timedelta(minutes=minutes)) for minutes in (0, 10))
    for name in (late, early, early):
        runs.publish(store, name, {"run_id": name}, b"<html>")
    assert runs.latest(store) == {"run_id": late}
    assert store.read(f"{runs.RUNS}/{early}/report.json") is not None
    # The same run may say more of itself, and what is damaged is replaced.
    runs.publish(store, late, {"run_id": late, "webhook": "called"}, None)
    assert runs.latest(store) == {"run_id": late, "webhook": "called"}
    store.write(runs.LATEST, b"{")
    runs.publish(store, early, {"run_id": early}, None)
    assert runs.latest(store) == {"run_id": early}


def test_a_run_about_something_else_is_never_the_newest(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    runs.publish(store, runs.new_run_id(NOW), {"run_id": "x"}, None, newest=False)
    assert runs.latest(store) is None


def test_only_the_newest_pages_stay_and_every_report(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    names = publish(store, 8)
    store.write("drift-runs/retrainings/000001.json", b"{}")
    assert runs.forget_pages(store, 5) == 3
    assert pages(store) == names[3:]
    assert runs.forget_pages(store, 5) == 0
    assert sum(entry.path.endswith("report.json") for entry in store.entries(runs.RUNS)) == 8
    assert store.read("drift-runs/retrainings/000001.json") is not None


def test_no_more_runs_are_looked_at_than_a_visit_may(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    publish(store, runs.AT_ONCE + 10)
    assert runs.forget_pages(store, 5) == runs.AT_ONCE


def test_without_a_report_or_with_a_damaged_one(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert runs.latest(store) is None
    for content in (b"{", b"[]"):
        store.write(runs.LATEST, content)
        assert runs.latest(store) is None


def test_a_page_about_the_same_rows_is_not_drawn_again(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    report = {"run_id": "20261123T030000Z-1", "model": {"version": "1"}, "threshold": 0.3, "drift_score": 0.2}
    report |= {"window": {"rows": 500, "to": "2026-11-23T03:00:00Z"}, "page": "report.html"}
    assert runs.same_page(store, report) is None
    runs.publish(store, "20261123T030000Z-1", report, b"drawn")
    assert runs.same_page(store, report) == b"drawn"
    assert runs.same_page(store, report | {"window": {"rows": 501, "to": "2026-11-23T03:10:00Z"}}) is None
    assert runs.same_page(store, report | {"model": {"version": "2"}}) is None
    runs.publish(store, "20261123T031000Z-2", report | {"page": None}, None)
    assert runs.same_page(store, report) is None
