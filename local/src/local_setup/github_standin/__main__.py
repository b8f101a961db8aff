"""Command line of the GitHub stand-in: see ``--help``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from local_setup.errors import LocalSetupError
from local_setup.github_standin.changes import RandomChanges
from local_setup.github_standin.clock import RunningClock
from local_setup.github_standin.faults import FAULTS, Faults
from local_setup.github_standin.limits import Limits
from local_setup.github_standin.server import RunningStandIn
from local_setup.github_standin.standin import DEFAULT_TOKEN, GitHubStandIn, Latency
from local_setup.github_standin.store import Corpus

DESCRIPTION = f"""\
Serves a corpus as GitHub would: GraphQL (POST /graphql) and REST on 127.0.0.1. Point a fetch to it
with GITHUB_API_URL=http://127.0.0.1:PORT and GITHUB_TOKEN={DEFAULT_TOKEN}."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local_setup.github_standin",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="failures for --fault:\n"
        + "\n".join(f"  {one.name:<22} {one.where:<8} {one.meaning}" for one in FAULTS.values()),
    )
    limits = Limits()
    add = parser.add_argument
    add("--corpus", required=True, help=".jsonl or .jsonl.gz files of REST pull requests, with commas")
    add("--port", type=int, default=0, help="port, 0 = any free one (default 0)")
    add("--token", action="append", help=f"accepted token, may be repeated (default {DEFAULT_TOKEN})")
    add("--any-token", action="store_true", help="accept every token")
    add("--app", action="append", default=[], metavar="ID:INSTALLATION[,..]:PUBLIC_KEY.pem",
        help="accept a GitHub App, may be repeated")  # fmt: skip
    add("--latency-ms", type=float, default=0.0, help="time of every answer (default 0)")
    add("--latency-per-pull-ms", type=float, default=0.0, help="and for each pull request in it")
    add("--cut-off-s", type=float, default=10.0, help="GraphQL beyond it answers 502 (default 10)")
    add("--fault", action="append", default=[], metavar="NAME=PROBABILITY",
        help="let a share of the requests fail, may be repeated; see below")  # fmt: skip
    add("--fault-script", metavar="NAME,-,NAME", default="",
        help="how the next requests fail, in turn; - = they do not")  # fmt: skip
    add("--fault-wait-s", type=int,
        help="seconds that every failure's wait is (default: GitHub's, up to two minutes)")  # fmt: skip
    add("--change-probability", type=float, default=0.0,
        help="before each request, change something with this probability (default 0)")  # fmt: skip
    add("--rename", action="append", default=[], metavar="OLD=NEW",
        help="a repository that was renamed: the old name leads to the new one, may be repeated")  # fmt: skip
    add("--block", action="append", default=[], metavar="OWNER/NAME",
        help="a repository that is kept from everybody (451), may be repeated")  # fmt: skip
    add("--seed", type=int, default=0, help="of failures and changes (default 0)")
    add("--core-limit", type=int, default=limits.core, help="REST requests an hour (default 5000)")
    add("--graphql-limit", type=int, default=limits.graphql, help="points an hour (default 5000)")
    add("--rest-a-minute", type=int, default=limits.rest_a_minute,
        help="secondary limit (default 900)")  # fmt: skip
    add("--graphql-a-minute", type=int, default=limits.graphql_a_minute,
        help="secondary limit (default 2000)")  # fmt: skip
    add("--retry-after-s", type=int, default=limits.retry_after,
        help="wait named by a secondary limit (default 60)")  # fmt: skip
    add("--clock-speed", type=float, default=1.0,
        help="how many seconds pass on its clock in a real one: resets come sooner (default 1)")  # fmt: skip
    add("--clock-offset-s", type=float, default=0.0, help="how far its clock is off (default 0)")
    add("--no-graphql", action="store_true", help="a server without GraphQL: only REST")
    return parser


def build(argv: Sequence[str] | None = None) -> tuple[GitHubStandIn, int]:
    """The stand-in that the flags describe, and its port. Raises CorpusError."""
    parser = _parser()
    options = parser.parse_args(argv)
    faults = _faults(parser, options.fault, options.seed, options.fault_wait_s)
    clock = RunningClock(options.clock_speed, options.clock_offset_s)
    corpus = Corpus(clock.now)
    for name in options.corpus.split(","):
        corpus.load(Path(name.strip()))
    _alter(parser, corpus, options.rename, options.block)
    standin = GitHubStandIn(
        corpus,
        tokens=None if options.any_token else options.token or (DEFAULT_TOKEN,),
        limits=Limits(
            core=options.core_limit,
            graphql=options.graphql_limit,
            rest_a_minute=options.rest_a_minute,
            graphql_a_minute=options.graphql_a_minute,
            retry_after=options.retry_after_s,
        ),
        latency=Latency(options.latency_ms / 1000, options.latency_per_pull_ms / 1000, options.cut_off_s),
        faults=faults,
        clock=clock,
        with_graphql=not options.no_graphql,
    )
    for text in options.app:
        app_id, _, rest = text.partition(":")
        installations, _, key = rest.partition(":")
        try:
            numbers = [int(one) for one in installations.split(",")]
            standin.add_app(app_id, Path(key).read_text(encoding="ascii"), numbers)
        except (ValueError, OSError) as error:
            parser.error(f"--app {text}: expected ID:INSTALLATION:PUBLIC_KEY.pem, found {error}")
    if options.fault_script:
        try:
            faults.script(None if one == "-" else one for one in options.fault_script.split(","))
        except ValueError as error:
            parser.error(f"--fault-script: {error}")
    if options.change_probability:
        standin.before = RandomChanges(corpus, options.change_probability, options.seed)
    return standin, options.port


def _alter(
    parser: argparse.ArgumentParser, corpus: Corpus, renames: Sequence[str], blocked: Sequence[str]
) -> None:
    for text in renames:
        old, _, new = text.partition("=")
        if corpus.repository(old) is None or new.count("/") != 1 or corpus.repository(new) is not None:
            parser.error(f"--rename {text}: expected OLD=NEW, a repository of the corpus and a free name")
        corpus.rename(old, new)
    for name in blocked:
        if corpus.repository(name) is None:
            parser.error(f"--block {name}: no such repository in the corpus")
        corpus.block(name)


def _faults(parser: argparse.ArgumentParser, texts: Sequence[str], seed: int, wait: int | None) -> Faults:
    probabilities: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            probability = float(value)
        except ValueError:
            parser.error(f"--fault {text}: expected NAME=PROBABILITY")
        if name not in FAULTS or not 0 <= probability <= 1:
            parser.error(f"--fault {text}: no such failure, or a probability outside 0 to 1")
        probabilities[name] = probability
    return Faults(probabilities, seed, wait)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    try:
        standin, port = build(argv)
        running = RunningStandIn(standin, port)
    except LocalSetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    corpus = standin.corpus
    for reason in corpus.unusable[:10]:
        print(f"warning: {reason}", file=sys.stderr)
    if corpus.unusable_count:
        print(f"warning: {corpus.unusable_count} lines could not be used", file=sys.stderr)
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    print(
        f"GitHub stand-in listens on {running.url}: {len(corpus)} pull requests in "
        f"{len(corpus.repositories())} repositories. Ctrl-C ends it.",
        flush=True,
    )
    end.wait()
    running.stop()
    log = standin.log
    print(
        json.dumps(
            {
                "requests": dict(log.requests),
                "statuses": {str(key): value for key, value in sorted(log.statuses.items())},
                "graphql_points": log.points,
                "pull_requests": log.pulls,
                "faults": standin.faults.happened,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
