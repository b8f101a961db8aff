"""repositories.py: names from settings, and shards that stay where they are."""

from pathlib import Path

import pytest
from data_fetch.repositories import parse_repositories, parse_shard, shard_of, share, unique
from hypothesis import given
from hypothesis import strategies as st
from stage_runtime.exits import WrongSettings

NAMES = [f"owner{n % 37}/repository-{n}" for n in range(4000)]


def test_names_come_from_lists_and_files_each_once_in_order(tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("# ours\nacme/b  # the second\n\nACME/A\nother/*\n")
    assert parse_repositories(f" acme/a , @{listing},x/y.z_-1") == ["acme/a", "acme/b", "other/*", "x/y.z_-1"]
    assert parse_repositories("") == []
    assert unique(["a/b", "A/B", "c/d"]) == ["a/b", "c/d"]


@pytest.mark.parametrize("text", ["acme", "a/b/c", "a b/c", "/x", "a/", "https://github.com/a/b", "*/*"])
def test_what_is_no_repository_is_named(text: str) -> None:
    with pytest.raises(WrongSettings, match="GITHUB_REPOS: expected owner/name"):
        parse_repositories(f"fine/one,{text}")


def test_an_unreadable_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("# none yet\n")
    for name in ("missing", "binary", "empty"):
        with pytest.raises(WrongSettings, match=name):
            parse_repositories(f"@{tmp_path / name}")
    with pytest.raises(WrongSettings, match="at least one repository"):
        parse_repositories(" , ")


def test_a_shard_is_given_or_comes_from_the_job() -> None:
    assert parse_shard("", None) == (0, 1)
    assert parse_shard("2/4", None) == (2, 4)
    assert parse_shard("2/4", 0) == (2, 4)
    assert parse_shard("/4", 3) == (3, 4)


@pytest.mark.parametrize(
    ("text", "index"), [("4/4", None), ("/4", None), ("/4", 4), ("0/0", None), ("x", 1), ("1", 1)]
)
def test_a_wrong_shard_is_named(text: str, index: int | None) -> None:
    with pytest.raises(WrongSettings, match="SHARD: expected"):
        parse_shard(text, index)


@given(st.integers(1, 12))
def test_every_repository_is_in_just_one_shard(count: int) -> None:
    some = NAMES[:300]
    shares = [share(some, index, count) for index in range(count)]
    assert sorted(name for one in shares for name in one) == sorted(some)


def test_shards_are_of_like_size_and_another_one_moves_few() -> None:
    for count in (2, 5, 9):
        sizes = [len(share(NAMES, index, count)) for index in range(count)]
        assert max(sizes) < 1.25 * len(NAMES) / count
        moved = [name for name in NAMES if shard_of(name, count) != shard_of(name, count + 1)]
        assert len(moved) < 1.2 * len(NAMES) / (count + 1)
        assert all(shard_of(name, count + 1) == count for name in moved), "they move to the new one only"
    assert shard_of("Acme/Widget", 7) == shard_of("acme/widget", 7)
