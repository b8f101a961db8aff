"""transport.py over real sockets that misbehave."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from github_client.errors import NetworkFailure
from github_client.messages import Api
from github_client.transport import HttpTransport


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads one request a connection and then does what `answer` does."""
    listener = socket.create_server(("127.0.0.1", 0))
    received: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                received.append(connection.recv(65536))
                try:
                    answer(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    server.received = received  # type: ignore[attr-defined]
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        # shutdown wakes accept(), close alone does not
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    made = HttpTransport(max_bytes=10_000)
    yield made
    made.close()


def send(transport: HttpTransport, url: str, seconds: float = 5.0) -> object:
    return transport(Api(url).get("/x"), "Bearer secret-token", seconds)


def test_a_whole_reply_comes_with_small_header_names(transport: HttpTransport) -> None:
    reply = b"HTTP/1.1 404 Not Found\r\nX-RateLimit-Remaining: 7\r\nContent-Length: 2\r\n\r\n{}"
    with server(lambda connection: connection.sendall(reply)) as url:
        found = transport(Api(url).get("/x"), "Bearer secret-token", 5.0)
        assert (found.status, found.body) == (404, b"{}")
        assert found.headers["x-ratelimit-remaining"] == "7"
        sent = server.received[0]  # type: ignore[attr-defined]
    assert b"Authorization: Bearer secret-token" in sent
    assert b"User-Agent: pull-request-anomalies" in sent


def test_a_login_from_netrc_never_replaces_the_token(transport, tmp_path, monkeypatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login x password y\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with server(lambda connection: connection.sendall(reply)) as url:
        send(transport, url)
        assert b"Authorization: Bearer secret-token" in server.received[0]  # type: ignore[attr-defined]


def test_redirects_are_given_back_and_not_followed(transport: HttpTransport) -> None:
    reply = b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with server(lambda connection: connection.sendall(reply)) as url:
        found = transport(Api(url).get("/x"), "Bearer secret-token", 5.0)
    assert (found.status, found.headers["location"]) == (301, "http://127.0.0.1:1/")


def test_no_reply_is_a_network_failure_without_the_token(transport: HttpTransport) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(50):
            connection.sendall(b"x" * 20)
            time.sleep(0.1)

    cases: list[Callable[[socket.socket], None]] = [
        lambda connection: None,
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
        lambda connection: connection.sendall(b"nonsense\r\n\r\n"),
        lambda connection: time.sleep(2),
        drip,
        lambda connection: connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20000
        ),
    ]
    for case in cases:
        with server(case) as url:
            start = time.monotonic()
            with pytest.raises(NetworkFailure) as caught:
                send(transport, url, 0.5)
            assert time.monotonic() - start < 4
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with pytest.raises(NetworkFailure, match="ConnectionError"):
        send(transport, f"http://127.0.0.1:{port}")
