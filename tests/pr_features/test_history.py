"""History by time: compared with a plain count over all pull requests, at every boundary."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pr_features.history import History, HistoryState, author_key, epoch_second, month_of, repo_key
from pr_features.norms import NO_NORMS

START = datetime(2024, 1, 31, 23, 59, 58, tzinfo=UTC)

pulls_of_a_corpus = st.lists(
    st.tuples(
        st.sampled_from(["a/a", "a/b"]),
        st.sampled_from([1, 2, 3]),
        st.integers(0, 6),  # opened, seconds after START: many ties
        st.one_of(st.none(), st.integers(0, 9)),  # merged, seconds after opening
    ),
    max_size=12,
)


def document(repo: str, author_id: int | None, created_at: datetime) -> dict[str, object]:
    return {"repo_name": repo, "author_id": author_id, "author_login": None, "created_at": created_at}


def state_of(pulls: list[tuple[str, int, int, int | None]]) -> HistoryState:
    rows: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for repo, author, opened, merged in pulls:
        times = rows.setdefault((repo, str(author)), ([], []))
        times[0].append(epoch_second(START) + opened)
        if merged is not None:
            times[1].append(epoch_second(START) + opened + merged)
    return HistoryState.pack(((*key, *times) for key, times in rows.items()), [])


@given(pulls_of_a_corpus, st.integers(0, 8))
def test_lookup_counts_what_lies_strictly_before(
    pulls: list[tuple[str, int, int, int | None]], second: int
) -> None:
    found = state_of(pulls).lookup(document("a/a", 1, START + timedelta(seconds=second)))
    own = [(opened, merged) for repo, author, opened, merged in pulls if (repo, author) == ("a/a", 1)]
    earlier = [opened for opened, _ in own if opened < second]
    assert found.author_opened == len(earlier)
    assert found.author_merged == sum(
        1 for opened, merged in own if merged is not None and opened + merged < second
    )
    assert found.author_day == len(earlier), "all within a day"


@pytest.mark.parametrize(("hours", "counted"), [(0, 0), (1, 1), (24, 1), (24.1, 0)])
def test_a_day_is_86400_seconds_with_its_start_in_it(hours: float, counted: int) -> None:
    found = state_of([("a/a", 1, 0, None)]).lookup(document("a/a", 1, START + timedelta(hours=hours)))
    assert found.author_day == counted


def test_unknown_author_and_unknown_repository() -> None:
    state = state_of([("a/a", 1, 0, None)])
    later = START + timedelta(days=400)
    assert state.lookup(document("a/a", None, later)) == History()
    assert state.lookup(document("a/a", 9, later)) == History(0, 0, 0, NO_NORMS)
    assert state.lookup(document("x/x", 1, later)) == History(0, 0, 0, NO_NORMS)


@pytest.mark.parametrize("spelling", ["bitcoin-core/secp256k1", "Bitcoin-Core/Secp256k1"])
def test_a_repository_is_known_in_any_spelling(spelling: str) -> None:
    key = repo_key("Bitcoin-Core/secp256k1")
    state = HistoryState.pack([(key, "1", [5, 7], [9])], [(key, 0, [2.0] * len(NO_NORMS))])
    assert state.lookup(document(spelling, 1, START)) == History(2, 1, 0, (2.0,) * len(NO_NORMS))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_key_is_the_same_by_every_library(name: str) -> None:
    key = repo_key(name)
    assert key == repo_key(key) and len(key) == len(name)
    if name.isascii():
        assert key == name.lower()
    assert repo_key("İ/Ä\u212aB") == "İ/Ä\u212ab", "what is lower case of these is told differently"


def test_norms_are_those_of_the_greatest_month_not_after() -> None:
    january, march = month_of(START), month_of(START) + 2
    width = len(NO_NORMS)
    state = HistoryState.pack([], [("a/a", march, [3.0] * width), ("a/a", january, [1.0] * width)])

    def norm(moment: datetime) -> float:
        return state.lookup(document("a/a", None, moment)).norms[0]

    assert norm(START - timedelta(days=60)) == 0.0, "before the first month nothing is known"
    assert norm(START) == 1.0
    assert norm(START + timedelta(seconds=2)) == 1.0, "February has the norms of January's entry"
    assert norm(START + timedelta(days=31)) == 3.0
    assert norm(START + timedelta(days=4000)) == 3.0, "newer than the state: its end"


def test_author_key_prefers_the_id_that_survives_a_rename() -> None:
    assert author_key({"author_id": 7, "author_login": "a"}) == "7"
    assert author_key({"author_id": None, "author_login": "a"}) == "login:a"
    assert author_key({"author_id": None, "author_login": None}) is None


def test_saved_state_is_the_same_and_holds_no_objects(tmp_path: Path) -> None:
    state = HistoryState.pack([("a/a", "1", [5, 3], [9])], [("a/a", month_of(START), [2.0] * len(NO_NORMS))])
    state.save(tmp_path / "history.npz")
    loaded = HistoryState.load(tmp_path / "history.npz")
    for name in HistoryState.__dataclass_fields__:
        assert np.array_equal(getattr(state, name), getattr(loaded, name)), name
        assert getattr(loaded, name).dtype == getattr(state, name).dtype
    moment = START + timedelta(days=3)
    assert loaded.lookup(document("a/a", 1, moment)) == state.lookup(document("a/a", 1, moment))


def test_incomplete_state_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "history.npz", months=np.zeros(1))
    with pytest.raises(ValueError, match="history state without .*author_keys"):
        HistoryState.load(tmp_path / "history.npz")
