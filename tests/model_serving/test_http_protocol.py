import tracemalloc

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
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + b"x" * 4095, 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT /predict HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 415),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 415),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
    ],
)
def test_what_is_refused(raw: bytes, status: int | None) -> None:
    with pytest.raises(Refused) as caught:
        read(raw)
    assert status is None or int(caught.value.status) == status
    assert 400 <= int(caught.value.status) < 500


def test_an_old_client_need_not_name_a_host() -> None:
    (request,) = read(b"GET /health HTTP/1.0\r\n\r\n").ready
    assert not request.keep_alive


def test_a_trailer_is_no_header() -> None:
    reader = read(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        b"Host: b\r\nExpect: 200-ok\r\nX-Request-Purpose: load-test\r\n\r\n"
    )
    (request,) = reader.ready
    assert dict(request.headers) == {b"Host": b"a", b"Transfer-Encoding": b"chunked"}


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
BODIES = {
    "length": b"Content-Length: 7\r\n\r\n[1,2,3]",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n4\r\n2,3]\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("size", [1, 40, 130, 1000])
def test_one_who_asks_for_another_protocol_is_answered_in_this_one(kind: str, size: int) -> None:
    post = b"POST /predict HTTP/1.1\r\nHost: a\r\n" + UPGRADE + BODIES[kind]
    raw = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" + post + post + b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"
    reader = read(*[raw[i : i + size] for i in range(0, len(raw), size)])
    assert [(r.method, r.target, r.body) for r in reader.ready] == [
        ("GET", b"/a", b""),
        ("POST", b"/predict", b"[1,2,3]"),
        ("POST", b"/predict", b"[1,2,3]"),
        ("GET", b"/b", b""),
    ]
    assert all(request.keep_alive for request in reader.ready) and not reader.in_request
    assert b"Upgrade" not in dict(reader.ready[1].headers)


def test_an_upgrade_without_a_body() -> None:
    asks = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    assert [request.keep_alive for request in read(asks + b"\r\n").ready] == [True]
    assert [request.keep_alive for request in read(asks + b"Connection: close\r\n\r\n").ready] == [False]


def test_an_upgrade_keeps_to_the_limits() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\n" + UPGRADE
    with pytest.raises(Refused, match="413"):
        read(head + b"Content-Length: 1001\r\n\r\n")
    with pytest.raises(Refused, match="413"):
        read(head + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001)
    reader = read(head + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert reader.wants_continue and reader.in_request


def test_a_body_of_small_chunks_takes_no_more_than_its_bytes() -> None:
    reader = RequestReader(Limits())
    reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunks = b"2\r\n[1\r\n" * 10_000
    tracemalloc.start()
    try:
        for _ in range(10):
            reader.feed(chunks)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert reader.body_bytes == 200_000 and taken < 1.3 * reader.body_bytes
    reader.feed(b"0\r\n\r\n")
    assert reader.take().body == b"[1" * 100_000


@pytest.mark.parametrize("fields", [0, 3, 98])
def test_requests_sent_ahead_take_a_bounded_memory(fields: int) -> None:
    reader = RequestReader(Limits())
    one = b"GET /v2 HTTP/1.1\r\nHost: abc\r\n" + b"Name: val\r\n" * fields + b"\r\n"
    ahead = one * (256 * 1024 // len(one))  # what one look at the socket may bring
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="429"):
            reader.feed(ahead)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 1.1 * reader.ready_heads < 1.1 * (reader.limits.ahead + 32_000)
    while reader.ready:
        assert reader.take().target == b"/v2"
    assert reader.ready_heads == 0


def test_bytes_are_counted_until_they_are_taken() -> None:
    reader = read(
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz" * 2 + b"POST /b HTTP/1.1\r\n"
    )
    head = reader.ready[0].head_bytes
    assert (reader.ready_bytes, reader.ready_heads, reader.body_bytes) == (6, 2 * head, 0)
    assert reader.take().body == b"xyz" and (reader.ready_bytes, reader.ready_heads) == (3, head)
    reader.drop_all()
    assert (reader.ready_bytes, reader.ready_heads, len(reader.ready)) == (0, 0, 0)


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
