"""Records in the forms of REST: detail, list item, file. Pure.

Generated records leave out the keys that only repeat others as addresses; they are added here. A
real record (it has ``_links``) is given as it is: what it lacks stays missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

DETAIL_ONLY = (
    "merged",
    "mergeable",
    "rebaseable",
    "mergeable_state",
    "merged_by",
    "comments",
    "review_comments",
    "maintainer_can_modify",
    "commits",
    "additions",
    "deletions",
    "changed_files",
)
USER_PATHS = (
    "followers following{/other_user} gists{/gist_id} starred{/owner}{/repo} subscriptions orgs repos "
    "events{/privacy} received_events"
).split()
USER_KEYS = (
    "followers_url following_url gists_url starred_url subscriptions_url organizations_url repos_url "
    "events_url received_events_url"
).split()
REPOSITORY_PATHS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}
REPOSITORY_FACTS: dict[str, Any] = {
    "homepage": None,
    "forks_count": 0,
    "forks": 0,
    "watchers_count": 0,
    "watchers": 0,
    "size": 0,
    "open_issues_count": 0,
    "open_issues": 0,
    "has_issues": True,
    "has_projects": False,
    "has_wiki": False,
    "has_pages": False,
    "has_discussions": False,
    "has_downloads": True,
    "is_template": False,
    "topics": [],
    "license": None,
    "mirror_url": None,
    "pushed_at": "2026-01-01T00:00:00Z",
    "created_at": "2022-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}


def detail(pull: dict[str, Any], api: str) -> dict[str, Any]:
    """The answer of `/pulls/N`."""
    pull.pop("files", None)
    return pull if "_links" in pull else _complete(pull, api)


def list_item(pull: dict[str, Any], api: str) -> dict[str, Any]:
    """One entry of `/pulls`: without sizes and merge state."""
    found = detail(pull, api)
    for key in DETAIL_ONLY:
        found.pop(key, None)
    return found


def file_entry(entry: Mapping[str, Any], pull: Mapping[str, Any], api: str) -> dict[str, Any]:
    """One entry of `/pulls/N/files`, without the patch."""
    path = entry.get("filename") or entry.get("path")
    name = pull["base"]["repo"]["full_name"]
    sha = (pull.get("head") or {}).get("sha") or "0" * 40
    web = f"https://github.com/{name}"
    return {
        "sha": hashlib.sha1(f"{sha}{path}".encode(), usedforsecurity=False).hexdigest(),
        "filename": path,
        "status": "modified",
        "additions": entry["additions"],
        "deletions": entry["deletions"],
        "changes": entry["additions"] + entry["deletions"],
        "blob_url": f"{web}/blob/{sha}/{path}",
        "raw_url": f"{web}/raw/{sha}/{path}",
        "contents_url": f"{api}/repos/{name}/contents/{path}?ref={sha}",
    }


def repository(facts: Mapping[str, Any], full_name: str, api: str) -> dict[str, Any]:
    """The answer of `/repos/O/R`; a real record is given as it is."""
    if "url" in facts:
        return dict(facts)
    owner, name = full_name.split("/")
    known = {"id": facts.get("id"), "name": name, "full_name": full_name, **facts}
    given = {"login": owner, "id": 1, "type": "Organization", **(facts.get("owner") or {})}
    url = f"{api}/repos/{full_name}"
    found = {
        "node_id": f"R_{facts.get('id')}",
        "private": False,
        "fork": False,
        "description": None,
        "language": None,
        "default_branch": "main",
        "stargazers_count": 0,
        "archived": False,
        "disabled": False,
        "html_url": f"https://github.com/{full_name}",
        **REPOSITORY_FACTS,
        **known,
        "owner": account(given, api),
        "url": url,
        "clone_url": f"https://github.com/{full_name}.git",
        "git_url": f"git://github.com/{full_name}.git",
        "ssh_url": f"git@github.com:{full_name}.git",
        "svn_url": f"https://github.com/{full_name}",
    }
    found.update({key: url + path for key, path in REPOSITORY_PATHS.items()})
    return found


def account(user: Mapping[str, Any], api: str) -> dict[str, Any]:
    """An account with all its addresses; a real one is given as it is."""
    if "url" in user:
        return dict(user)
    url = f"{api}/users/{user['login']}"
    found = {
        "node_id": f"U_{user['id']}",
        "html_url": f"https://github.com/{user['login']}",
        "site_admin": False,
        **user,
        "avatar_url": f"https://avatars.githubusercontent.com/u/{user['id']}?v=4",
        "gravatar_id": "",
        "url": url,
    }
    paths = zip(USER_KEYS, USER_PATHS, strict=True)
    found.update({key: f"{url}/{path}" for key, path in paths})
    return found


def _complete(pull: dict[str, Any], api: str) -> dict[str, Any]:
    base, head = pull["base"], pull["head"]
    name, number = base["repo"]["full_name"], pull["number"]
    url, web = f"{api}/repos/{name}/pulls/{number}", pull["html_url"]
    issue = f"{api}/repos/{name}/issues/{number}"
    statuses = f"{api}/repos/{name}/statuses/{head['sha']}"
    addresses = {
        "url": url,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        "issue_url": issue,
        "commits_url": f"{url}/commits",
        "review_comments_url": f"{url}/comments",
        "review_comment_url": f"{api}/repos/{name}/pulls/comments{{/number}}",
        "comments_url": f"{issue}/comments",
        "statuses_url": statuses,
    }
    links = {
        "self": url,
        "html": web,
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": addresses["review_comment_url"],
        "commits": f"{url}/commits",
        "statuses": statuses,
    }
    pull.update(addresses, _links={key: {"href": address} for key, address in links.items()})
    for key in ("user", "assignee", "merged_by"):
        pull[key] = account(pull[key], api) if pull.get(key) else pull.get(key)
    pull["assignees"] = [account(one, api) for one in pull["assignees"]]
    for side in (base, head):
        side["user"] = account(side["user"], api)
        side["repo"] = repository(side["repo"], side["repo"]["full_name"], api)
    return pull
