"""Score one pull request by a running service: a file of GitHub's object, or the address of a pull request.

python -m local_setup.score pull.json
python -m local_setup.score https://github.com/owner/name/pull/7

A pull request of an Enterprise server needs its GITHUB_API_URL, such as https://HOST/api/v3.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from local_setup.errors import LocalSetupError
from local_setup.runner.summary import printable

_ADDRESS = re.compile(r"https?://(?P<host>[^/]+)/(?P<repo>[^/]+/[^/]+)/pull/(?P<number>\d+)")
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
SECONDS = 30.0


class CannotScore(LocalSetupError):
    """No pull request, or no service to ask."""

    exit_code = 2


def read_pull(what: str) -> dict[str, Any]:
    """GitHub's REST object of a pull request, from a file or from GitHub itself."""
    address = _ADDRESS.match(what)
    if address is None:
        try:
            pull = json.loads(Path(what).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CannotScore(
                f"{what}: expected a file with GitHub's JSON of one pull request: {error}"
            ) from error
        if not isinstance(pull, dict):
            raise CannotScore(f"{what}: expected one JSON object, found {type(pull).__name__}")
        return pull
    token = (os.environ.get("GITHUB_TOKEN") or "").split(",")[0].strip()  # fetching takes several
    url = f"{api_of(address['host'])}/repos/{address['repo']}/pulls/{address['number']}"
    headers = {**_HEADERS, "Authorization": f"Bearer {token}"} if token else _HEADERS
    try:
        answer = requests.get(url, headers=headers, timeout=SECONDS)
    except requests.RequestException as error:
        raise CannotScore(f"{url}: GitHub cannot be reached: {type(error).__name__}") from None
    if answer.status_code != 200:
        hint = "" if token else "; for a private repository set GITHUB_TOKEN"
        raise CannotScore(f"{url}: GitHub answered {answer.status_code}{hint}")
    return _object(answer, "pull request", "number")


def api_of(host: str) -> str:
    """GITHUB_API_URL, if that is the interface of the server whose pages are at this host.

    Raises CannotScore: another server may have a repository of the same name, and the token is not for it.
    """
    api = (os.environ.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/")
    pages = urlsplit(api).netloc.lower()
    if pages == "api.github.com" or pages.endswith(".ghe.com"):
        pages = pages.removeprefix("api.")
    if host.lower() != pages:
        raise CannotScore(
            f"expected a pull request at {pages}, whose interface is GITHUB_API_URL={api}; found one at {host}. "
            "Set GITHUB_API_URL to the interface of that server: https://api.github.com for github.com, "
            "https://HOST/api/v3 for an Enterprise server"
        )
    return api


def score(pull: dict[str, Any], service: str) -> dict[str, Any]:
    """The score object of one pull request."""
    url = f"{service}/predict"
    try:
        answer = requests.post(url, json=pull, timeout=SECONDS)
    except requests.ConnectionError:
        raise CannotScore(f"no service at {service}; start one with: make serve OUT=var/demo") from None
    except requests.RequestException as error:
        raise CannotScore(f"{url}: no answer ({type(error).__name__}); see the log of the service") from None
    if answer.status_code != 200:
        raise CannotScore(f"{url} answered {answer.status_code}: {answer.text[:500]}")
    return _object(answer, "score", "reconstruction_error")


def _object(answer: requests.Response, what: str, key: str) -> dict[str, Any]:
    """The JSON object of an answer, which has this key."""
    try:
        content = answer.json()
    except requests.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or key not in content:
        raise CannotScore(f"{answer.url}: expected a {what}, found other content")
    return content


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local_setup.score", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pull", help="file, or https://github.com/owner/name/pull/7")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="address of the service")
    options = parser.parse_args(argv)
    try:
        result = score(read_pull(options.pull), options.url)
    except CannotScore as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    verdict = "beyond the threshold" if result["is_anomaly"] else "within the threshold"
    print(f"{result['repo_name']}#{result['number']}: {verdict}")
    print(
        f"error {result['reconstruction_error']:.3f}, threshold {result['threshold']:.3f},"
        f" more unusual than {result['anomaly_score']:.1%} of the training rows"
    )
    for reason in result["reasons"]:
        print(f"  {reason['share']:5.1%}  {printable(reason['text'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
