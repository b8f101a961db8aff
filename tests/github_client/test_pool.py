"""pool.py: one request at a time per token, and none of a token that has to wait."""

import threading
import time

import pytest
from github_client.credentials import Token
from github_client.errors import BadCredentials, NoCredential
from github_client.messages import RateLimit
from github_client.pool import TokenPool


class Clock:
    """Sleeping moves it."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def pool_of(count: int, clock: Clock | None = None, **more: int) -> TokenPool:
    tokens = [Token(f"secret-{number}", f"token {number}") for number in range(count)]
    return TokenPool(tokens, clock or Clock(), **more)


def test_a_pool_needs_a_credential() -> None:
    with pytest.raises(ValueError, match="at least one"):
        TokenPool([], Clock())


def test_two_threads_take_two_tokens_and_one_waits_for_the_third_request() -> None:
    pool = pool_of(2)
    most, running, lock = 0, 0, threading.Lock()
    seen: set[str] = set()

    def ask() -> None:
        nonlocal most, running
        for _ in range(20):
            with pool.lease("core") as member:
                with lock:
                    running += 1
                    most = max(most, running)
                    assert member.busy == 1
                    seen.add(member.name)
                time.sleep(0.001)
                with lock:
                    running -= 1

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert most <= 2
    assert seen == {"token 0", "token 1"}


def test_the_token_with_the_most_points_asks_next() -> None:
    pool = pool_of(2)
    with pool.lease("core") as first, pool.lease("core") as second:
        pool.note(first, RateLimit("core", 5000, 10, 100.0), "core")
        pool.note(second, RateLimit("core", 5000, 4000, 100.0), "core")
    with pool.lease("core") as member:
        assert member is second
    assert pool.points_left("core") == 4010
    assert pool.points_left("graphql") is None


def test_a_used_up_token_waits_for_its_reset_in_that_resource_only() -> None:
    clock = Clock()
    pool = pool_of(1, clock)
    with pool.lease("core") as member:
        pool.note(member, RateLimit("core", 5000, 0, 100.0), "core")
    with pool.lease("graphql"):
        assert clock.time == 0
    waits: list[float] = []
    with pool.lease("core", before_wait=waits.append):
        assert clock.time == 101.0
    assert max(waits) == 101.0


def test_a_secondary_limit_holds_for_every_resource() -> None:
    clock = Clock()
    pool = pool_of(1, clock)
    with pool.lease("core") as member:
        pool.block(member, "", 30.0)
    with pool.lease("graphql"):
        assert clock.time == 30.0


def test_the_wait_may_be_refused() -> None:
    pool = pool_of(1)
    with pool.lease("core") as member:
        pool.block(member, "core", 3600.0)

    def no(seconds: float) -> None:
        raise TimeoutError(seconds)

    with pytest.raises(TimeoutError), pool.lease("core", before_wait=no):
        pass
    assert member.busy == 0


def test_refused_tokens_are_left_out_and_named_without_their_text() -> None:
    pool = pool_of(2)
    with pool.lease("core") as member:
        pool.refuse(member, BadCredentials("token 0: Bad credentials"))
    with pool.lease("core") as other:
        assert other is not member
        pool.refuse(other, BadCredentials("token 1: expired"))
    with pytest.raises(NoCredential) as caught, pool.lease("core"):
        pass
    assert len(caught.value.reasons) == 2
    assert "secret" not in f"{caught.value}{caught.value.reasons}{member.credential!r}"


def test_a_token_that_does_not_see_a_repository_is_passed_over_there_only() -> None:
    pool = pool_of(2)
    with pool.lease("core", "a/b") as member:
        assert pool.blind(member, "a/b")
    for _ in range(3):
        with pool.lease("core", "a/b") as other:
            assert other is not member
    assert not pool.blind(other, "a/b")
    with pytest.raises(NoCredential, match="a/b"), pool.lease("core", "a/b"):
        pass
    with pool.lease("core", "c/d"):
        pass
    pool.see_again("a/b")
    with pool.lease("core", "a/b"):
        pass


def test_apart_each_member_is_alone_and_what_is_known_of_it_is_known_to_all() -> None:
    clock = Clock()
    together = pool_of(2, clock)
    first, second = together.apart()
    with first.lease("core") as one, second.lease("core") as other:
        assert one is not other
        together.refuse(other, BadCredentials("revoked"))
        first.block(one, "core", 60)
    with pytest.raises(NoCredential), second.lease("core"):
        pass
    with together.lease("core") as member:
        assert member is one
    assert clock.time == 60
