"""discovery.py: owners and searches become names, whoever may see them and whatever a reply leads to."""

from __future__ import annotations

from typing import Any

import pytest
from fetch_harness import World
from github_client.messages import Response
from stage_runtime.exits import WrongSettings


def test_a_page_on_another_host_is_named_and_not_asked_for(world: World) -> None:
    """A Link header is followed with the token: only to the server that the token is for."""
    world.fill("acme/widget", 3)
    asked = []

    def leading_away(request: Any, authorization: str, timeout: float) -> Any:
        asked.append(request.url)
        reply = world.transport(request, authorization, timeout)
        if "/orgs/" not in request.url and "/users/" not in request.url:
            return reply
        return Response(reply.status, {"link": '<http://evil.test/x?page=2>; rel="next"'}, reply.body)

    with pytest.raises(WrongSettings, match=r"GITHUB_API_URL.*leads to http://evil\.test/x"):
        world.fetch("acme/*", github_api="rest", transport=leading_away)
    assert asked and all(url.startswith("http://github.test/") for url in asked), asked
