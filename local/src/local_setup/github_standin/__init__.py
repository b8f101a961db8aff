"""A stand-in for GitHub on loopback: GraphQL and REST over a corpus, with limits and failures.

corpus = Corpus(); corpus.load(Path("corpus.jsonl.gz"))
with serve(GitHubStandIn(corpus)) as url: ...            # over HTTP
GitHubStandIn(corpus, clock=ManualClock()).request(...)  # without a socket
"""

from local_setup.github_standin.clock import Clock, ManualClock, RunningClock
from local_setup.github_standin.faults import FAULTS, TRANSIENT, Faults
from local_setup.github_standin.limits import Limits
from local_setup.github_standin.replies import Reply, Request
from local_setup.github_standin.server import RunningStandIn, serve
from local_setup.github_standin.standin import DEFAULT_TOKEN, GitHubStandIn, Latency
from local_setup.github_standin.store import Corpus

__all__ = [
    "DEFAULT_TOKEN",
    "FAULTS",
    "TRANSIENT",
    "Clock",
    "Corpus",
    "Faults",
    "GitHubStandIn",
    "Latency",
    "Limits",
    "ManualClock",
    "Reply",
    "Request",
    "RunningClock",
    "RunningStandIn",
    "serve",
]
