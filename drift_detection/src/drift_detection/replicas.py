"""The replicas of the service: ask each to load the champion, then see whether each does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings
from stage_runtime.logs import get_logger

AGAIN_SECONDS = 1.0
TRIES = 3


@dataclass(frozen=True)
class Replica:
    """One address behind a name."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Its base address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def __str__(self) -> str:
        return self.url.removeprefix("http://")


def resolve(names: Sequence[str]) -> list[Replica]:
    """Every address behind HOST:PORT names; raises WrongSettings or ServiceUnreachable."""
    found: dict[Replica, None] = {}
    for name in names:
        host, _, port = name.rpartition(":")
        if not host or not port.isdigit():
            raise WrongSettings(f"REPLICAS: expected HOST:PORT, found {name!r}")
        try:
            infos = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except OSError as error:
            raise ServiceUnreachable(
                f"REPLICAS: nothing has the name {host} ({type(error).__name__}). No replica is ready, or the headless "
                "Service is not there."
            ) from None
        found.update((Replica(str(info[4][0]), int(port)), None) for info in infos)
    if not found:
        raise WrongSettings("REPLICAS: expected at least one HOST:PORT, found none")
    return list(found)


def reload(replicas: Sequence[Replica], token: str, timeout: float) -> dict[str, str]:
    """POST /reload to each; what each said, by replica. One that refuses keeps its model, and does not stop the others.

    Raises WrongSettings for a refused token, ServiceUnreachable where no replica answered.
    """
    said = {str(replica): _reload_one(replica, token, timeout) for replica in replicas}
    if all(answer.startswith("unreachable") for answer in said.values()):
        raise ServiceUnreachable(f"No replica answered POST /reload: {said}")
    return said


def _reload_one(replica: Replica, token: str, timeout: float) -> str:
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            answer = requests.post(
                f"{replica.url}/reload",
                headers={"Authorization": f"Bearer {token}"},
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            if last:
                return f"unreachable: {type(error).__name__}"
            time.sleep(AGAIN_SECONDS)
            continue
        if answer.status_code in {401, 403}:
            raise WrongSettings(
                f"The replica {replica} refused the reload token (HTTP {answer.status_code}). "
                "reload_token must be the same for drift-detection and model-serving."
            )
        return _in_words(answer)
    raise AssertionError("unreachable")


def _in_words(answer: requests.Response) -> str:
    body = _json(answer)
    if answer.ok:
        workers = "" if body.get("converged", True) else ", not yet in all workers"
        return f"serves version {body.get('version')}{workers}"
    return f"HTTP {answer.status_code}: {str(body.get('detail', ''))[:500]}"


def verify(
    addresses: Callable[[], Sequence[Replica]], version: str, *, wait_seconds: float, timeout: float
) -> list[str]:
    """Wait until every worker of every replica serves ``version``; the replicas' names.

    Asked anew each time: replicas come and go. Raises UnusableInput that says of each other one what it
    serves and why.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        replicas = addresses()
        wrong = {str(one): why for one in replicas if (why := _why_not(one, version, timeout)) is not None}
        if not wrong:
            return [str(one) for one in replicas]
        if time.monotonic() >= deadline:
            listed = "; ".join(f"{replica}: {why}" for replica, why in sorted(wrong.items()))
            raise UnusableInput(
                f"Expected version {version} in every worker of {len(replicas)} replicas, found others in "
                f"{len(wrong)}. {listed}. The others serve it; look at these replicas' logs."
            )
        get_logger().info("waiting", replicas=len(replicas), behind=len(wrong))
        time.sleep(AGAIN_SECONDS)


def _why_not(replica: Replica, version: str, timeout: float) -> str | None:
    """What is wrong with a replica; None where all its workers serve the version."""
    try:
        answer = requests.get(f"{replica.url}/model", timeout=timeout, allow_redirects=False)
    except requests.RequestException as error:
        return f"unreachable ({type(error).__name__})"
    if not answer.ok:
        return f"answers HTTP {answer.status_code}"
    body = _json(answer)
    workers = [one for one in body.get("workers") or [] if isinstance(one, dict)]
    versions = {str(body.get("version"))} | {str(worker.get("version")) for worker in workers}
    if versions == {version}:
        return None
    errors = sorted({str(worker["error"])[:300] for worker in workers if worker.get("error")})
    return f"serves {', '.join(sorted(versions))}" + (f" because: {' / '.join(errors)}" if errors else "")


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
