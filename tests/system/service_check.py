"""Asks a running service what every service must answer, from outside: nothing of this repository is imported.

    python tests/system/service_check.py URL CORPUS.jsonl.gz [TRAINED.jsonl]

CORPUS holds the pull requests, TRAINED what training scored them (its SCORES_FILE). The same checks run against the
service as a process and against a container of its image (.github/scripts/system-test-image.sh). Exit 0, or 1 with
what was wrong.
"""

import gzip
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

MODEL = "pr-anomaly-autoencoder"
# Serving computes in another library than training.
TOLERANCE = 1e-3


class Service:
    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(self.address + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers.get_content_type(), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get_content_type(), error.read()

    def json(self, path: str, value: Any = None, status: int = 200) -> Any:
        body = None if value is None else json.dumps(value).encode()
        found, kind, answer = self.ask(path, body)
        assert found == status, f"{path}: expected {status}, found {found}: {answer[:300]!r}"
        assert kind in {"application/json", "application/problem+json"}, f"{path}: {kind}"
        return json.loads(answer)

    def wait(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.ask("/ready")[0] == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, f"{self.address}/ready: not ready within {seconds:g} s"
            time.sleep(0.5)


def check(service: Service, pulls: list[dict[str, Any]], trained: dict[tuple[str, int], float]) -> str:
    """Raises AssertionError with what is wrong; returns what was seen."""
    service.wait()
    assert service.ask("/health")[0] == 200, "/health"
    version = service.json("/model")["version"]
    scores: list[dict[str, Any]] = []
    for start in range(0, len(pulls), 100):
        scores += service.json("/predict", pulls[start : start + 100])["scores"]
    asked = [(pull["base"]["repo"]["full_name"], pull["number"]) for pull in pulls]
    assert [(score["repo_name"], score["number"]) for score in scores] == asked, "/predict: order of a list"
    largest = 0.0
    for key, score in zip(asked, scores, strict=True):
        error = score["reconstruction_error"]
        assert score["is_anomaly"] == (error > score["threshold"]), score
        assert 0 <= score["anomaly_score"] <= 1, score
        assert score["model_version"] == version, score
        assert all(reason["text"] for reason in score["reasons"]), score
        if trained:
            assert key in trained, f"{key}: training did not score it"
            largest = max(largest, abs(error - trained[key]) / max(abs(trained[key]), 1e-9))
    assert largest <= TOLERANCE, f"served and trained scores differ by {largest:.2g}"
    alone = service.json("/predict", pulls[0])
    assert alone["reconstruction_error"] == scores[0]["reconstruction_error"], "/predict: one alone"
    assert service.json("/predict", [pulls[0], {"number": "x"}], status=422)["index"] == 1, (
        "/predict: bad item"
    )
    assert service.ask("/predict", b"no JSON")[0] == 400, "/predict: no JSON"
    assert service.ask("/reload", b"")[0] in {401, 403}, "/reload: without its token"
    assert service.ask(f"/v2/models/{MODEL}/ready")[0] == 200, "/v2"
    assert service.json("/openapi.json")["paths"]["/predict"], "/openapi.json"
    for page in ("/", "/docs"):
        assert service.ask(page)[:2] == (200, "text/html"), page
    wait_for_count(service, len(pulls) + 1)
    return (
        f"{len(scores)} pull requests scored by version {version}, {largest:.1e} from training's own scores"
    )


def wait_for_count(service: Service, made: int, seconds: float = 10) -> None:
    """Until /metrics counts every score; the other workers add theirs up twice a second."""
    deadline = time.monotonic() + seconds
    while True:
        metrics = service.ask("/metrics")[2].decode()
        counted = sum(
            float(line.rsplit(" ", 1)[1])
            for line in metrics.splitlines()
            if line.startswith("model_serving_scores_total{")
        )
        if counted == made:
            return
        assert counted < made and time.monotonic() < deadline, (
            f"/metrics: {counted} scores counted, {made} made"
        )
        time.sleep(0.2)


def main(argv: Sequence[str]) -> int:
    if len(argv) not in {2, 3}:
        print(__doc__, file=sys.stderr)
        return 2
    with gzip.open(argv[1], "rt", encoding="utf-8") as lines:
        pulls = [json.loads(line) for line in lines]
    for pull in pulls:
        # A made-up pull request brings its files; GitHub's object has none, and fetching asks for none by default.
        pull.pop("files", None)
    trained = {}
    if len(argv) == 3:
        with open(argv[2], encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        trained = {(row["repo_name"], row["number"]): row["reconstruction_error"] for row in rows}
    try:
        print(check(Service(argv[0]), pulls, trained))
    except AssertionError as error:
        print(f"service_check: {argv[0]}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
