"""data_fetch as a process: exit codes, signals, SIGKILL."""

from __future__ import annotations

import gzip
import random
import signal
import time
from pathlib import Path

import pytest
from data_fetch.store import Store
from fetch_harness import START, TOKEN, as_lines, iso, pull
from local_setup.github_standin import GitHubStandIn, Latency
from process_harness import complete, fetch, start, wait_until


def test_a_run_ends_with_0_and_one_closing_line_with_counts(environ, database, github) -> None:
    code, lines, output = fetch(environ)
    assert code == 0, output
    last = lines[-1]
    assert (last["event"], last["written"], last["rejected"], last["repositories"]) == ("finished", 120, 0, 3)
    assert last["calls"] == github[0].log.calls
    assert complete(database, github[0].corpus)
    code, lines, output = fetch(environ)
    assert (code, lines[-1]["unchanged"], lines[-1]["calls"]) == (0, 3, 1), output


def test_help_names_every_setting_and_ends_with_0(environ) -> None:
    process = start(environ, "--help")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "GITHUB_REPOS" in output and "--max-points" in output
    assert TOKEN not in output + errors


def two(*arguments: str, **settings: str) -> tuple[tuple[str, ...], dict[str, str]]:
    return arguments, settings


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (two(GITHUB_TOKEN="ghp_wrong-token"), 2, ["GITHUB_TOKEN", "Bad credentials"]),
        (two(GITHUB_TOKEN=""), 2, ["GITHUB_TOKEN", "found none"]),
        (two(GITHUB_REPOS=""), 2, ["GITHUB_REPOS"]),
        (two(GITHUB_REPOS="no repository"), 2, ["GITHUB_REPOS", "owner/name"]),
        (two(GITHUB_REPOS="acme/widget,acme/nowhere"), 2, ["acme/nowhere", "NotFound"]),
        (two(GITHUB_REPOS="nobody/*"), 2, ["nobody"]),
        (two(GITHUB_REPOS="@/no/such/list"), 2, ["/no/such/list"]),
        (two(GITHUB_API_URL="http://127.0.0.1:9", MAX_DURATION="3s"), 4, ["max-duration"]),
        (two(GITHUB_API_URL="nonsense"), 2, ["GITHUB_API_URL", "https://"]),
        (two(MONGO_URI="mongodb://user:pass-word@127.0.0.1:9/?serverSelectionTimeoutMS=300"), 1, ["MongoDB"]),
        (two(MONGO_URI="nonsense"), 2, ["MONGO_URI"]),
        (two(MAX_DURATION="soon"), 2, ["MAX_DURATION", "30m"]),
        (two(MAX_POINTS="0"), 2, ["MAX_POINTS"]),
        (two(SHARD="5/3"), 2, ["SHARD"]),
        (two(AUTHOR_PRIVACY="hash", AUTHOR_HASH_KEY="short-key"), 2, ["AUTHOR_HASH_KEY"]),
        (two("--no-such-flag"), 2, ["--help"]),
        (two("--from-file", "/no/such/file.jsonl"), 2, ["/no/such/file.jsonl"]),
        (two("--max-points", "1"), 4, ["max-points", "run again"]),
        (two("--max-points", "1", "--spent-exit-code", "0"), 0, ["run again"]),
    ],
)
def test_each_ending_has_its_code_and_says_what_to_do(environ, given, code: int, words: list[str]) -> None:
    arguments, settings = given
    found, lines, output = fetch({**environ, **settings}, *arguments)
    assert found == code, output
    said = " ".join(line["event"] for line in lines)
    for word in words:
        assert word in said
    assert "Traceback" not in output
    for secret in ("ghp_wrong-token", "pass-word", "short-key", TOKEN):
        assert secret not in output
    assert lines[-1]["exit_code"] == code


def test_one_unknown_repository_does_not_stop_the_others(environ, database, github) -> None:
    code, _, output = fetch({**environ, "GITHUB_REPOS": "acme/nowhere," + environ["GITHUB_REPOS"]})
    assert code == 2, output
    assert complete(database, github[0].corpus)


def test_an_unreachable_github_is_asked_again_until_a_signal_ends_that_with_4(environ) -> None:
    """The waits are the real ones, so the run is cut short after its first failures."""
    process = start({**environ, "GITHUB_API_URL": "http://127.0.0.1:9"})
    assert process.stdout is not None
    said = next((line for line in process.stdout if "asking again" in line), "")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 4
    assert "ConnectionError" in said


@pytest.mark.long
def test_an_unreachable_github_ends_with_1_after_its_last_attempt(environ) -> None:
    code, lines, _ = fetch({**environ, "GITHUB_API_URL": "http://127.0.0.1:9"})
    assert code == 1
    assert "GitHub gave no answer" in " ".join(line["event"] for line in lines)


def slow(github: tuple[GitHubStandIn, str], seconds: float = 0.05) -> None:
    github[0].latency = Latency(fixed=seconds)


def test_sigterm_saves_the_state_and_ends_with_4(environ, database, github) -> None:
    slow(github, 0.3)
    process = start(environ, "--page-size", "3")
    wait_until(lambda: database.documents.count_documents({}) >= 6)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 4, output + errors
    assert time.monotonic() - begun < 10
    assert "Run again" in output and "Traceback" not in output + errors
    before = github[0].log.pulls
    slow(github, 0)
    assert fetch(environ)[0] == 0
    assert complete(database, github[0].corpus)
    assert github[0].log.pulls - before < 200, "it went on from the saved page"


def kill_and_run_again(environ, database: Store, github, times: int, *arguments: str) -> None:
    slow(github, 0.01)
    rng = random.Random(times)
    for kill in range(times):
        process = start(environ, "--page-size", "3", *arguments)
        least = database.documents.count_documents({}) + rng.randrange(12)
        try:
            wait_until(lambda least=least: database.documents.count_documents({}) >= min(least, 119), 30)
            time.sleep(rng.random() * 0.05)
        finally:
            process.kill()
            process.communicate()
        github[0].corpus.update("acme/widget", 1 + kill, title=f"changed after kill {kill}")
    code, _, output = fetch(environ, *arguments)
    assert code == 0, output
    assert complete(database, github[0].corpus)
    assert database.documents.count_documents({}) == 120


@pytest.mark.parametrize("api", ["graphql", "rest"])
def test_killed_and_run_again_it_has_the_same_documents(environ, database, github, api: str) -> None:
    kill_and_run_again(environ, database, github, 3, "--github-api", api)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("api", ["graphql", "rest"])
def test_killed_thirty_times_it_has_the_same_documents(environ, database, github, api: str) -> None:
    kill_and_run_again(environ, database, github, 30, "--github-api", api)


def test_two_fetchers_at_once_do_no_harm(environ, database, github) -> None:
    slow(github, 0.02)
    both = [start(environ, "--page-size", size) for size in ("4", "7")]
    for process in both:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, output + errors
    assert complete(database, github[0].corpus)
    code, lines, _ = fetch(environ)
    assert (code, lines[-1]["unchanged"]) == (0, 3)


def test_shards_share_the_repositories(environ, database, github) -> None:
    written = 0
    for index in range(3):
        code, lines, output = fetch({**environ, "SHARD": "/3", "JOB_COMPLETION_INDEX": str(index)})
        assert code == 0, output
        written += lines[-1]["written"]
    assert written == 120
    assert complete(database, github[0].corpus)


def test_a_file_is_imported_by_the_same_shaping(environ, database, github, tmp_path: Path) -> None:
    pulls = [one for r in github[0].corpus.repositories() for one in github[0].corpus.pulls(r.full_name)]
    broken = [b'{"id": 1, "number"\n', b"[]\n", b"\n", b'{"id": "x"}\n', b"\xff\xfe\n"]
    path = tmp_path / "export.jsonl.gz"
    path.write_bytes(gzip.compress(as_lines(pulls) + b"".join(broken)))
    for _ in range(2):
        code, lines, output = fetch(environ, "--from-file", str(path))
        assert code == 0, output
        last = lines[-1]
        assert (last["lines"], last["rejected"], last["written"] + last["same"]) == (124, 4, 120)
        assert complete(database, github[0].corpus)
        assert database.rejected.count_documents({}) == 4
    reasons = sorted(one["place"] for one in database.rejected.find())
    assert reasons == [f"export.jsonl.gz line {number}" for number in (121, 122, 124, 125)]
    # What the API gives later is newer knowledge of the same documents.
    assert fetch(environ)[0] == 0
    assert database.documents.count_documents({"source": "graphql"}) == 120


def test_an_older_file_never_replaces_newer_documents(environ, database, github, tmp_path: Path) -> None:
    assert fetch(environ)[0] == 0
    old = pull("acme/widget", 5, START - 90 * 86_400, title="An old title")
    new = pull("acme/widget", 6, START, title="A new title", updated_at=iso(START))
    path = tmp_path / "old.jsonl"
    path.write_bytes(as_lines([old, new]))
    code, lines, output = fetch(environ, "--from-file", str(path))
    assert (code, lines[-1]["written"], lines[-1]["superseded"]) == (0, 1, 1), output
    assert database.documents.find_one({"_id": old["id"]})["title"] == "Change 5"
    assert database.documents.find_one({"_id": new["id"]})["title"] == "A new title"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", b"", "found no line"),
        ("text.jsonl", b"no json\n" * 5, "5 of 5 lines"),
        ("cut.jsonl.gz", gzip.compress(as_lines([pull("a/b", 1, START)] * 900))[:-20], "cannot be read to its end"),
        ("plain.jsonl.gz", as_lines([pull("a/b", 1, START)]), "cannot be read to its end"),
    ],
)  # fmt: skip
def test_an_unusable_file_ends_with_3(environ, tmp_path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    code, lines, output = fetch(environ, "--from-file", str(tmp_path / name))
    assert code == 3, output
    assert any(words in line["event"] for line in lines)
    assert "Traceback" not in output
