import pytest
from model_serving.http_protocol import Limits, Refused, RequestReader, ResponseHead, problem_response

LIMITS = Limits(target=100, headers=500, header_count=10, body=1000)


def read(*parts: bytes) -> RequestReader:
    reader = RequestReader(LIMITS)
    for part in parts:
        reader.feed(part)
    return reader


def test_a_request_in_one_piece() -> None:
    (request,) = read(b"POST /predict?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}").ready
    assert (request.method, request.target, request.body, request.keep_alive) == (
        "POST",
        b"/predict?x=1",
        b"{}",
        True,
    )
    environ = request.environ(("127.0.0.1", 80), ("10.0.0.1", 5), None)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["CONTENT_LENGTH"]) == (
        "/predict",
        "x=1",
        "2",
    )
    assert environ["HTTP_HOST"] == "a" and environ["wsgi.input"].read() == b"{}"


def test_byte_by_byte_and_several_at_once() -> None:
    raw = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyzGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
    for parts in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        first, second = read(*parts).ready
        assert (first.body, first.target) == (b"xyz", b"/a")
        assert (second.body, second.target) == (b"", b"/b")


def test_chunks_are_put_together() -> None:
    (request,) = read(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"2\r\nde\r\n0\r\n\r\n",
    ).ready
    assert request.body == b"abcde"
    assert "HTTP_TRANSFER_ENCODING" not in request.environ(("", 0), ("", 0), None)


def test_an_escaped_path_and_an_absolute_target() -> None:
    (request,) = read(b"GET /a%20b HTTP/1.1\r\nHost: a\r\n\r\n").ready
    assert request.environ(("", 0), ("", 0), None)["PATH_INFO"] == "/a b"
    (request,) = read(b"GET http://other/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n").ready
    environ = request.environ(("", 0), ("", 0), None)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], request.path) == ("/x", "y=1", "/x")


def test_a_header_with_an_underscore_cannot_pass_for_another() -> None:
    (request,) = read(b"GET / HTTP/1.1\r\nHost: a\r\nX_Request_Purpose: load-test\r\n\r\n").ready
    assert "HTTP_X_REQUEST_PURPOSE" not in request.environ(("", 0), ("", 0), None)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 600 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20, 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + b"x" * 4095, 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
)
def test_what_is_refused(raw: bytes, status: int | None) -> None:
    with pytest.raises(Refused) as caught:
        read(raw)
    assert status is None or int(caught.value.status) == status
    assert 400 <= int(caught.value.status) < 500


def test_an_upgrade_is_answered_and_ends() -> None:
    reader = read(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"\x81\x05hello"
    )
    (request,) = reader.ready
    assert not request.keep_alive


def test_an_upgrade_ends_the_connection_only_behind_what_came_before() -> None:
    first, second = read(
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ).ready
    assert first.keep_alive and not second.keep_alive


def test_bytes_are_counted_until_they_are_taken() -> None:
    reader = read(
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz" * 2 + b"POST /b HTTP/1.1\r\n"
    )
    assert (reader.ready_bytes, reader.body_bytes) == (6, 0)
    assert reader.take().body == b"xyz" and reader.ready_bytes == 3
    reader.drop_all()
    assert (reader.ready_bytes, len(reader.ready)) == (0, 0)


def test_the_head_of_an_answer() -> None:
    head = ResponseHead()
    head.start("200 OK", [("Content-Type", "text/plain"), ("Connection", "x")])
    raw = head.encoded(5, close=True, http10=False)
    assert (
        b"\r\nContent-Length: 5\r\n" in raw and b"\r\nConnection: close\r\n" in raw and b"\r\nDate: " in raw
    )
    head.start("204 No Content", [])
    assert b"Content-Length" not in head.encoded(0, close=False, http10=False)


def test_a_problem_without_the_application() -> None:
    from http import HTTPStatus

    raw = problem_response(HTTPStatus.REQUEST_TIMEOUT, 'slow "sender"')
    assert raw.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"application/problem+json" in raw and b'\\"sender\\"' in raw
