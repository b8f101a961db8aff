"""The blueprint's way to fetch, as the baseline: a list of 30, then one detail call for each of them.

    python perf/blueprint_fetch.py --api http://127.0.0.1:8080 --token T --repos a/b,c/d --mongo mongodb://...

No state, no retries, one document written at a time. It prints one JSON line: calls and seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import pymongo
import requests

PER_PAGE = 30


def fetch(api: str, token: str, repositories: Sequence[str], collection: Any) -> int:
    """Fetch all pull requests; how many calls it took."""
    calls = 0
    with requests.Session() as session:
        session.headers["Authorization"] = f"token {token}"
        for name in repositories:
            page = 1
            while True:
                parameters: dict[str, str | int] = {"state": "all", "per_page": PER_PAGE, "page": page}
                listed = session.get(f"{api}/repos/{name}/pulls", params=parameters, timeout=60)
                listed.raise_for_status()
                calls += 1
                for pull in listed.json():
                    detail = session.get(f"{api}/repos/{name}/pulls/{pull['number']}", timeout=60)
                    detail.raise_for_status()
                    calls += 1
                    collection.update_one({"_id": pull["id"]}, {"$set": _document(name, detail.json())}, True)
                if len(listed.json()) < PER_PAGE:
                    break
                page += 1
    return calls


def _document(name: str, pull: dict[str, Any]) -> dict[str, Any]:
    """The fields that it keeps, times as text."""
    plain = ("number", "additions", "deletions", "changed_files", "author_association", "title", "body")
    times = ("created_at", "merged_at", "updated_at", "closed_at", "state")
    return {
        "repo_name": name,
        "pr_id": pull["id"],
        "assignees_count": len(pull.get("assignees") or ()),
        "commits_count": pull.get("commits"),
        "labels": [label["name"] for label in pull.get("labels") or ()],
        **{key: pull.get(key) for key in (*plain, *times)},
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--api", required=True, help="address of GitHub's REST API")
    parser.add_argument("--token", required=True, help="token")
    parser.add_argument("--repos", required=True, help="repositories separated by commas")
    parser.add_argument("--mongo", required=True, help="address of MongoDB")
    options = parser.parse_args()
    start = time.monotonic()
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(options.mongo)
    calls = fetch(options.api, options.token, options.repos.split(","), client["blueprint"]["pull_requests"])
    client.close()
    print(json.dumps({"calls": calls, "seconds": time.monotonic() - start}))


if __name__ == "__main__":
    main()
