"""classifier.py: every status, header and GraphQL error becomes data or just one typed error."""

import json
from pathlib import Path

import pytest
from github_client.classifier import object_error, read_response
from github_client.errors import (
    BadCredentials,
    Blocked,
    BrokenReply,
    Forbidden,
    GitHubError,
    Gone,
    Moved,
    NotFound,
    PrimaryLimit,
    QueryTooLarge,
    Refused,
    SecondaryLimit,
    ServerFailure,
)
from github_client.messages import Api, PartialError, Request, Response
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1_700_000_000.0
REST = Api().get("/repos/a/b/pulls")
GRAPHQL = Api().graphql("query { viewer { login } }", {})
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
ABUSE = "You have triggered an abuse detection mechanism. Please wait a few minutes."
CUT_OFF = "Something went wrong while executing your query. This may be the result of a timeout."


def response(status: int, content: object = None, **headers: str) -> Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def refused(request: Request, reply: Response) -> GitHubError:
    with pytest.raises(GitHubError) as caught:
        read_response(request, reply, NOW)
    return caught.value


def said(message: str) -> dict[str, str]:
    return {"message": message}


def errors(*found: dict[str, object], data: object = None) -> dict[str, object]:
    return {"errors": list(found)} if data is None else {"errors": list(found), "data": data}


@pytest.mark.parametrize(
    ("request_", "reply", "kind"),
    [
        (REST, response(401, said("Bad credentials")), BadCredentials),
        (REST, response(403, said("Resource not accessible by personal access token")), Forbidden),
        (REST, response(403, said("Repository access blocked")), Blocked),
        (REST, response(404, said("Not Found")), NotFound),
        (REST, response(410, said("Issues are disabled")), Gone),
        (REST, response(451, said("Repository access blocked")), Blocked),
        (REST, response(422, said("Validation Failed")), Refused),
        (REST, response(400, said("Problems parsing JSON")), Refused),
        (REST, response(301, said("Moved"), location="/repositories/1"), Moved),
        (REST, response(302, None), Refused),
        (REST, response(500, b"<html>"), ServerFailure),
        (REST, response(502, {"error": "Server Error"}), ServerFailure),
        (REST, response(503, b""), ServerFailure),
        (REST, response(408, None), ServerFailure),
        (REST, response(200, b'[{"id": 1}, {"id'), BrokenReply),
        (REST, response(200, b""), BrokenReply),
        (REST, response(200, b"\xff\xfe"), BrokenReply),
        (REST, response(200, b"[" * 200_000), BrokenReply),
        (GRAPHQL, response(502, said(CUT_OFF)), QueryTooLarge),
        (GRAPHQL, response(504, b"<html>"), QueryTooLarge),
        (GRAPHQL, response(503, b"<html>"), ServerFailure),
        (GRAPHQL, response(401, said("Bad credentials")), BadCredentials),
        (GRAPHQL, response(404, said("Not Found")), NotFound),
        (GRAPHQL, response(200, errors(said(CUT_OFF))), QueryTooLarge),
        (GRAPHQL, response(200, errors(said(CUT_OFF), data={"repository": None})), QueryTooLarge),
        (GRAPHQL, response(200, errors({"type": "RESOURCE_LIMITS_EXCEEDED", "message": "x"})), QueryTooLarge),
        (GRAPHQL, response(200, errors({"type": "MAX_NODE_LIMIT_EXCEEDED", "message": "x"})), QueryTooLarge),
        (GRAPHQL, response(200, errors({"type": "RATE_LIMITED", "message": "x"})), PrimaryLimit),
        (GRAPHQL, response(200, errors({"type": "RATE_LIMIT", "message": "x"})), PrimaryLimit),
        (GRAPHQL, response(200, errors(said("API rate limit exceeded for user ID 1"))), PrimaryLimit),
        (GRAPHQL, response(200, errors(said(SECONDARY))), SecondaryLimit),
        (GRAPHQL, response(200, errors({"type": "INSUFFICIENT_SCOPES", "message": "x"})), Forbidden),
        (GRAPHQL, response(200, errors({"type": "NOT_FOUND", "message": "x"})), NotFound),
        (GRAPHQL, response(200, errors({"type": "INTERNAL", "message": "x"})), ServerFailure),
        (GRAPHQL, response(200, errors({"message": "Parse error"})), ServerFailure),
        (GRAPHQL, response(200, errors({"type": "SOMETHING_NEW", "message": "x"})), Refused),
        (GRAPHQL, response(200, {"errors": ["odd"]}), ServerFailure),
        (GRAPHQL, response(200, {"data": None}), BrokenReply),
        (GRAPHQL, response(200, {"data": {}, "errors": 3}), BrokenReply),
        (GRAPHQL, response(200, []), BrokenReply),
        (GRAPHQL, response(200, {}), BrokenReply),
    ],
)
def test_each_failure_has_its_own_class(request_: Request, reply: Response, kind: type) -> None:
    error = refused(request_, reply)
    assert type(error) is kind
    assert error.status == reply.status
    assert str(error).startswith(request_.label)


@pytest.mark.parametrize(
    ("status", "message", "headers", "kind", "wait"),
    [
        (403, SECONDARY, {"retry_after": "30"}, SecondaryLimit, 30.0),
        (429, SECONDARY, {"retry_after": "8"}, SecondaryLimit, 8.0),
        (403, ABUSE, {}, SecondaryLimit, None),
        (403, SECONDARY, {"x_ratelimit_remaining": "4000"}, SecondaryLimit, None),
        (
            403,
            SECONDARY,
            {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1700000050"},
            SecondaryLimit,
            None,
        ),
        (429, "", {}, SecondaryLimit, None),
        (403, "", {"gh_limited_by": "elapsed-time"}, SecondaryLimit, None),
        (403, "x", {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1700000050"}, PrimaryLimit, 50.0),
        (429, "x", {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1700000050"}, PrimaryLimit, 50.0),
        (403, "x", {"x_ratelimit_remaining": "0"}, PrimaryLimit, None),
        (403, "API rate limit exceeded for 192.0.2.1", {}, PrimaryLimit, None),
        # GitHub's own clock counts, not ours: its Date says that the reset is 20 s away.
        (
            403,
            "x",
            {
                "x_ratelimit_remaining": "0",
                "x_ratelimit_reset": "1700003620",
                "date": "Tue, 14 Nov 2023 23:13:20 GMT",
            },
            PrimaryLimit,
            20.0,
        ),
        # Retry-After wins over the reset time.
        (403, "x", {"retry_after": "3", "x_ratelimit_remaining": "0"}, SecondaryLimit, 3.0),
        (403, "x", {"retry_after": "Tue, 14 Nov 2023 22:13:27 GMT"}, SecondaryLimit, 7.0),
    ],
)
def test_limits_carry_how_long_to_wait(status, message, headers, kind, wait) -> None:
    error = refused(REST, response(status, said(message), **headers))
    assert type(error) is kind
    assert isinstance(error, (PrimaryLimit, SecondaryLimit))
    assert error.wait_seconds == wait


def test_forbidden_names_the_scopes_and_single_sign_on() -> None:
    reply = response(
        403, said("Must have rights"), x_accepted_oauth_scopes="repo, read:org", x_github_sso="required"
    )
    error = refused(REST, reply)
    assert isinstance(error, Forbidden)
    assert error.scopes == ("repo", "read:org")
    assert "single sign-on" in str(error)
    assert "a token with repo or read:org" in str(error)


def test_forbidden_names_the_permission_of_a_fine_grained_token() -> None:
    reply = response(
        403,
        said("Resource not accessible by personal access token"),
        x_accepted_github_permissions="pull_requests=read",
        x_accepted_oauth_scopes="repo",
    )
    assert "takes a token with pull_requests=read)" in str(refused(REST, reply))


def test_an_unknown_field_is_told_from_other_refusals() -> None:
    unknown = {
        "message": "Field 'fullDatabaseId' doesn't exist on type 'PullRequest'",
        "path": ["query", "repository"],
        "extensions": {"code": "undefinedField"},
    }
    error = refused(GRAPHQL, response(200, errors(unknown)))
    assert type(error) is Refused
    assert error.undefined
    assert not refused_undefined("SOMETHING_NEW")


def refused_undefined(kind: str) -> bool:
    error = refused(GRAPHQL, response(200, errors({"type": kind, "message": "x"})))
    assert isinstance(error, Refused)
    return error.undefined


def test_what_github_said_is_cut_and_its_details_are_kept() -> None:
    content = {"message": "Validation Failed", "errors": [{"message": "no such branch"}, {"code": "x"}]}
    assert str(refused(REST, response(422, content))).endswith("Validation Failed; no such branch")
    assert len(str(refused(REST, response(422, said("x" * 5000))))) < 300


def test_data_comes_with_limit_links_and_clock() -> None:
    reply = read_response(
        REST,
        response(
            200,
            [1, 2],
            etag='W/"abc"',
            link='<https://h/x?page=2>; rel="next", <https://h/x?page=9>; rel="last"',
            date="Tue, 14 Nov 2023 22:13:20 GMT",
            x_ratelimit_remaining="12",
            x_ratelimit_limit="5000",
            x_ratelimit_reset="1700000060",
        ),
        NOW,
    )
    assert reply.data == [1, 2]
    assert (reply.etag, reply.next_url, reply.last_url) == (
        'W/"abc"',
        "https://h/x?page=2",
        "https://h/x?page=9",
    )
    assert reply.server_time == NOW
    assert reply.rate is not None
    assert (reply.rate.remaining, reply.rate.limit, reply.rate.wait_seconds) == (12, 5000, 60.0)
    assert reply.cost == 1


def test_not_modified_and_no_content_have_no_data() -> None:
    unchanged = read_response(REST, response(304, b""), NOW)
    assert unchanged.not_modified and unchanged.data is None and unchanged.cost == 0
    empty = read_response(REST, response(204, b""), NOW)
    assert not empty.not_modified and empty.data is None


def test_errors_of_single_objects_stay_in_the_reply() -> None:
    content = errors(
        {"type": "NOT_FOUND", "path": ["item1"], "message": "Could not resolve"},
        {"type": "FORBIDDEN", "path": ["item2", "pullRequests"], "message": "no"},
        data={"item0": {"databaseId": 1}, "item1": None, "item2": None, "rateLimit": {"cost": 7}},
    )
    reply = read_response(GRAPHQL, response(200, content), NOW)
    assert reply.cost == 7
    assert reply.errors[0] == PartialError("NOT_FOUND", ("item1",), "Could not resolve")
    assert type(object_error("x", reply.errors, ("item1",))) is NotFound
    assert type(object_error("x", reply.errors, ("item2",))) is Forbidden
    assert type(object_error("x", reply.errors, ("item3",))) is NotFound
    blocked = (PartialError("", ("item0",), "Repository access blocked"),)
    assert type(object_error("x", blocked, ("item0",))) is Blocked
    cursor = (PartialError("INVALID_CURSOR_ARGUMENTS", ("repository",), "no valid cursor"),)
    assert type(object_error("x", cursor, ("repository",))) is Refused
    assert type(object_error("x", (PartialError("", (), "odd"),), ("repository",))) is ServerFailure


UNRESOLVED = "Could not resolve to a Repository with the name '{}'."
MISLEADING = ("acme/anti-abuse", "acme/timeout-lib", "acme/dmca", "acme/rate-limit")


@pytest.mark.parametrize("kind", ["NOT_FOUND", "FORBIDDEN", "INSUFFICIENT_SCOPES", "SAML_PROTECTED", ""])
@pytest.mark.parametrize("name", MISLEADING)
def test_words_in_the_name_of_a_repository_mean_nothing(kind: str, name: str) -> None:
    error = {"path": ["item1"], "message": UNRESOLVED.format(name)} | ({"type": kind} if kind else {})
    content = errors(error, data={"item0": {"databaseId": 1}, "item1": None})
    reply = read_response(GRAPHQL, response(200, content), NOW)
    expected = {"NOT_FOUND": NotFound, "": ServerFailure}.get(kind, Forbidden)
    assert type(object_error("x", reply.errors, ("item1",))) is expected


@pytest.mark.parametrize(
    "words", [SECONDARY, CUT_OFF, "Repository access blocked", "API rate limit exceeded"]
)
def test_a_kind_counts_before_words(words: str) -> None:
    missing = {"type": "NOT_FOUND", "path": ["item0"], "message": words}
    reply = read_response(GRAPHQL, response(200, errors(missing, data={"item0": None})), NOW)
    assert type(object_error("x", reply.errors, ("item0",))) is NotFound
    limited = {"type": "RATE_LIMITED", "path": ["item0"], "message": words}
    error = refused(GRAPHQL, response(200, errors(limited, data={"item0": None})))
    assert type(error) is (SecondaryLimit if words == SECONDARY else PrimaryLimit)


@pytest.mark.parametrize("name", ["anti-abuse", "dmca"])
def test_words_in_the_name_of_an_organisation_mean_nothing_to_rest_either(name: str) -> None:
    text = f"the `{name}` organization has an IP allow list enabled, and your IP address is not permitted"
    assert type(refused(REST, response(403, said(text)))) is Forbidden


keys = st.sampled_from(
    ("data", "errors", "message", "error", "rateLimit", "cost", "type", "path", "extensions", "code")
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400)
@given(
    st.sampled_from((REST, GRAPHQL)),
    st.integers(200, 599),
    st.binary(max_size=60) | anything.map(lambda content: json.dumps(content).encode()),
    st.dictionaries(
        st.sampled_from(
            ["retry-after", "x-ratelimit-remaining", "x-ratelimit-reset", "date", "link", "location"]
        ),
        st.text(max_size=12) | st.integers(-5, 2**40).map(str),
    ),
)
def test_no_reply_at_all_brings_another_exception(request_, status, body, headers) -> None:
    """GitHub, proxies and load balancers in between answer whatever they like."""
    try:
        read_response(request_, Response(status, headers, body), NOW)
    except GitHubError as error:
        assert len(str(error)) < 600


# --- GitHub's own recorded replies ----------------------------------------------------------------

EXPECTED = {
    200: None,
    401: BadCredentials,
    404: NotFound,
    422: Refused,
    502: ServerFailure,
    503: ServerFailure,
}


def recorded(folder: Path) -> list[tuple[str, Request, Response, object]]:
    found = []
    for name in ("github_api_replies_mit.json", "github_api_replies_lgpl.json"):
        file = folder / name
        if not file.exists():
            continue
        for one in json.loads(file.read_text(encoding="utf-8")):
            reply = one["response"]
            body = reply.get("body")
            text = body if isinstance(body, str) else json.dumps(body)
            headers = {key.lower(): value for key, value in reply["headers"].items()}
            request = Api().get(one["request"]["url"])
            found.append((one["source"], request, Response(reply["status"], headers, text.encode()), body))
    return found


def test_recorded_replies_are_read_as_what_they_are(pr_data: Path) -> None:
    replies = recorded(pr_data)
    assert len(replies) >= 24
    for source, request, reply, body in replies:
        try:
            data = read_response(request, reply, NOW).data
        except GitHubError as error:
            kind = EXPECTED.get(reply.status)
            if reply.status in (403, 429):
                kind = Forbidden
                if "retry-after" in reply.headers or "secondary" in str(body):
                    kind = SecondaryLimit
                elif reply.headers.get("x-ratelimit-remaining") == "0":
                    kind = PrimaryLimit
            assert type(error) is kind, source
            if "retry-after" in reply.headers:
                assert isinstance(error, SecondaryLimit)
                assert error.wait_seconds == float(reply.headers["retry-after"])
        else:
            assert reply.status == 200, source
            assert data == body


def test_recorded_paging_links_lead_on(pr_data: Path) -> None:
    linked = [one for one in recorded(pr_data) if "link" in one[2].headers]
    assert linked
    for source, request, reply, _ in linked:
        read = read_response(request, reply, NOW)
        relations = reply.headers["link"]
        assert (read.next_url is not None) == ('rel="next"' in relations), source
        assert (read.last_url is not None) == ('rel="last"' in relations), source


def test_recorded_pull_requests_become_documents(pr_data: Path) -> None:
    from pr_features.documents import from_rest

    shaped = 0
    for source, request, reply, body in recorded(pr_data):
        path = request.url.removeprefix("https://api.github.com")
        if reply.status != 200 or "/pulls" not in path or "/reviews" in path or "/files" in path:
            continue
        for one in body if isinstance(body, list) else [body]:
            document = from_rest(one)
            assert document["number"] == one["number"], source
            assert (document["additions"] is None) == ("additions" not in one)
            shaped += 1
    assert shaped >= 6
