"""The worker as it runs: connections, slow senders, draining."""

import json
import logging
import os
import re
import resource
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from artifact import pull_request
from gunicorn.config import Config
from model_serving.connection import Connection
from model_serving.worker import EventWorker
from service_process import ServiceProcess
from werkzeug.wsgi import ClosingIterator


def connect(service: ServiceProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=60)


def post(body: bytes, path: str = "/predict", more: bytes = b"") -> bytes:
    return (
        b"POST " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n%s\r\n" % (len(body), more) + body
    )


def read_answer(sock: socket.socket, *, more_may_follow: bool = False) -> tuple[int, dict[str, str], bytes]:
    """One answer from a connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            raise ConnectionError(f"closed after {data!r}")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    length = int(headers.get("content-length", 0))
    while len(body) < length:
        body += sock.recv(65536)
    assert len(body) == length or more_may_follow
    return int(lines[0].split()[1]), headers, body


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def open_files(pid: int) -> set[str]:
    """What the descriptors of a process point at."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(descriptor))
    return found


def refuses(service: ServiceProcess) -> bool:
    """Whether the door is shut."""
    try:
        connect(service).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.fixture
def body() -> bytes:
    return json.dumps(pull_request(3)).encode()


def test_connections_are_kept_and_requests_may_be_sent_ahead(start: Any, body: bytes) -> None:
    service = start()
    with connect(service) as sock:
        for _ in range(3):
            sock.sendall(post(body))
            assert read_answer(sock)[0] == 200
        sock.sendall(post(body) + b"GET /model HTTP/1.1\r\nHost: a\r\n\r\n" + post(body))
        # In order, although /model is answered by a thread.
        found = b""
        while found.count(b"HTTP/1.1 200 OK") < 3:
            found += sock.recv(65536)
        assert found.index(b'"request_id"') < found.index(b'"workers"') < found.rindex(b'"request_id"')


def test_head_chunks_old_clients_and_continue(start: Any, body: bytes) -> None:
    service = start()
    with connect(service) as sock:
        sock.sendall(b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        data = b""
        while data.count(b"alive") < 1:
            data += sock.recv(65536)
        assert data.count(b"HTTP/1.1 200 OK") == 2 and data.count(b"alive") == 1
    with connect(service) as sock:
        sock.sendall(
            b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
        assert read_answer(sock)[0] == 200
    with connect(service) as sock:
        sock.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert read_answer(sock)[1]["connection"] == "close"
        assert sock.recv(10) == b""
    with connect(service) as sock:
        head, _, rest = post(body, more=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(rest)
        assert read_answer(sock)[0] == 200


def test_those_that_arrive_at_once_get_each_their_own_answer(start: Any) -> None:
    service = start()
    pulls = [pull_request(number) for number in range(30)]
    socks = [connect(service) for _ in pulls]
    bad = post(b"{")
    for sock, pull in zip(socks, pulls, strict=True):
        # Two good ones and a bad one on each connection, in this order.
        sock.sendall(post(json.dumps(pull).encode()) + bad + post(json.dumps(pull | {"number": 7}).encode()))
    for sock, pull in zip(socks, pulls, strict=True):
        data = b""
        while data.count(b"HTTP/1.1 ") < 3 or not data.endswith(b"}"):
            data += sock.recv(65536)
        first, second, third = [
            (part[:3], json.loads(part.partition(b"\r\n\r\n")[2])) for part in data.split(b"HTTP/1.1 ")[1:]
        ]
        assert (first[0], second[0], third[0]) == (b"200", b"400", b"200")
        assert (first[1]["number"], third[1]["number"]) == (pull["number"], 7)
        sock.close()


@pytest.mark.parametrize("path", ["/predict", "/model", "/health"])
def test_a_good_request_is_answered_before_the_garbage_behind_it_is_refused(
    start: Any, body: bytes, path: str
) -> None:
    service = start()
    # One that is answered with others, one by a thread, one in place.
    good = post(body) if path == "/predict" else b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode()
    for count in (1, 3):
        with connect(service) as sock:
            sock.sendall(good * count + b"nonsense\r\n\r\n")
            data = b""
            while part := sock.recv(65536):
                data += part
        assert re.findall(rb"HTTP/1.1 (\d+) ", data) == [b"200"] * count + [b"400"], data


def test_continue_waits_for_the_answer_before_it(start: Any, body: bytes) -> None:
    service = start()
    head, _, rest = post(body, more=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with connect(service) as sock:
        sock.sendall(b"GET /model HTTP/1.1\r\nHost: a\r\n\r\n" + head + b"\r\n\r\n")
        assert b'"workers"' in read_answer(sock, more_may_follow=True)[2]
        sock.sendall(rest)
        data = b""
        while b'"request_id"' not in data:
            data += sock.recv(65536)
        assert data.count(b"HTTP/1.1 ") == data.count(b"HTTP/1.1 100") + 1


def make_worker(app: Any) -> EventWorker:
    """A worker that stands but does not run."""
    worker = EventWorker(1, os.getppid(), [], app, 30, Config(), logging.getLogger("worker"))
    worker.PIPE = os.pipe()
    worker.load_wsgi()
    worker._begin()
    return worker


def feed(worker: EventWorker, ends: tuple[socket.socket, socket.socket], data: bytes) -> Connection:
    """What the worker has received from the second end by the first."""
    ours, theirs = ends
    ours.setblocking(False)
    connection = worker.loop.connections.get(ours.fileno()) or worker.loop.add(ours, ("", 0))
    while data:
        sent = theirs.send(data[:60_000])
        data = data[sent:]
        worker.loop.receive(connection)
    return connection


def close_worker(worker: EventWorker, ends: list[tuple[socket.socket, socket.socket]]) -> None:
    threads = worker.loop.threads
    threads._pool.shutdown()
    threads._large.shutdown()
    for pair in ends:
        for end in pair:
            end.close()
    for descriptor in (*worker.PIPE, threads.wake, threads._write):
        os.close(descriptor)
    worker.loop.selector.close()
    worker.tmp.close()


class Idle:
    """An application whose requests all go to a thread, of which there is one, and it is held up."""

    buffer_bytes = 250_000
    threads = 1

    def __init__(self) -> None:
        self.go = threading.Event()

    def wsgi(self) -> Any:
        return self

    def runs_inline(self, method: str, path: str) -> bool:
        return False

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.go.wait(60)
        start_response("200 OK", [])
        return [b"done"]


def test_complete_bodies_that_wait_count_as_memory() -> None:
    app = Idle()
    worker = make_worker(app)
    ends = [socket.socketpair() for _ in range(4)]
    whole = post(b"x" * 100_000)
    worked, waiting = feed(worker, ends[0], whole), feed(worker, ends[1], whole)
    assert worker.loop.buffered == 200_000  # one in the thread, one for it
    part = feed(worker, ends[2], whole[:-1])
    assert worker.loop.buffered > worker.loop.most_buffered and not part.events  # paused
    assert worker.deadlines.too_late(part).status == 503  # for no fault of its sender
    small = feed(worker, ends[3], whole[:1000])
    assert small.events  # a small one goes on
    worker.loop.close(small)
    assert worker.loop.buffered == waiting.held + worked.held + part.held == 299_999
    app.go.set()
    wait_for(lambda: len(worker.loop.threads.finished) == 2)
    worker.loop._finished(None)
    assert worker.loop.buffered == part.held == 99_999
    worker.deadlines.expire(part, time.monotonic())
    assert part.events  # there is room again
    assert worker.deadlines.too_late(part).status == 408
    worker.loop.close(part)
    assert worker.loop.buffered == 0
    close_worker(worker, ends)


class Joining(Idle):
    """An application that answers small requests together; whatever comes one by one is held up."""

    buffer_bytes = 100_000_000
    threads = 4

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []
        self.running = self.most_running = 0

    def joins(self, request: Any) -> bool:
        return True

    def together(self, requests: Any) -> list[tuple[int, list[tuple[str, str]], bytes]]:
        self.counts.append(len(requests))
        return [(200, [("Content-Length", "0")], b"") for _ in requests]

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        self.go.wait(60)
        self.running -= 1
        start_response("200 OK", [])
        return [b"done"]


def test_large_bodies_are_answered_one_at_a_time_beside_the_loop() -> None:
    app = Joining()
    worker = make_worker(app)
    ends = [socket.socketpair() for _ in range(6)]
    large = [feed(worker, pair, post(b"x" * 2_100_000)) for pair in ends[:2]]
    assert not worker.loop.joined and all(connection.busy for connection in large)
    joined = [feed(worker, pair, post(b"x" * 900_000)) for pair in ends[2:5]]
    small = feed(worker, ends[5], post(b"x"))
    worker.loop._answer_together()  # no more bytes than the others may wait for
    assert app.counts == [2] and [connection.busy for connection in joined] == [False, False, True]
    worker.loop._answer_together()
    assert app.counts == [2, 2] and not small.busy and all(connection.busy for connection in large)
    app.go.set()
    wait_for(lambda: len(worker.loop.threads.finished) == 2)
    worker.loop._finished(None)
    assert app.most_running == 1 and not any(connection.busy for connection in large)
    close_worker(worker, ends)


class Following(Joining):
    """An application whose next request arrives while one is read."""

    def __init__(self, clients: list[socket.socket], seconds: float) -> None:
        super().__init__()
        self.clients, self.seconds = iter(clients), seconds

    def joins(self, request: Any) -> bool:
        time.sleep(self.seconds)  # as if something else had been answered in between
        if client := next(self.clients, None):
            client.sendall(post(b"x"))
        return True


@pytest.mark.parametrize(
    ("most", "seconds", "counts"), [(64, 0, [5]), (3, 0, [3, 2]), (64, 0.02, [1, 1, 1, 1, 1])]
)
def test_requests_that_arrive_while_others_are_read_are_answered_with_them(
    most: int, seconds: float, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for those that arrive when it has taken long already."""
    monkeypatch.setattr("model_serving.event_loop.MOST_GATHERED", most)
    if not seconds:  # however busy the machine is
        monkeypatch.setattr("model_serving.event_loop.GATHER_SECONDS", 60.0)
    ends = [socket.socketpair() for _ in range(5)]
    app = Following([theirs for _, theirs in ends[1:]], seconds)
    worker = make_worker(app)
    for pair in ends:
        feed(worker, pair, b"")
    ends[0][1].sendall(post(b"x"))
    for _ in counts:
        worker.loop.turn(0)
    assert app.counts == counts
    close_worker(worker, ends)


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_client_that_says_it_sends_no_more_gets_its_answers(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "model_serving.event_loop.TOGETHER_BYTES", 2000
    )  # so two a turn, the others see the end first
    worker = make_worker(Joining())
    ends = [socket.socketpair() for _ in range(5)]
    for pair in ends:
        feed(worker, pair, b"")
        pair[1].sendall(post(b"x" * 900) * ahead)
        pair[1].shutdown(socket.SHUT_WR)
    while worker.loop.connections:
        worker.loop.turn(0)
    for _, theirs in ends:
        data = b""
        while part := theirs.recv(65536):
            data += part
        assert data.count(b"HTTP/1.1 200 OK") == ahead
    close_worker(worker, ends)


class Closing(Idle):
    """An application that notes what its client has got when its answer is done with."""

    def __init__(self, client: socket.socket, *, inline: bool) -> None:
        super().__init__()
        self.client, self.inline = client, inline
        self.sent = b""
        self.go.set()

    def runs_inline(self, method: str, path: str) -> bool:
        return self.inline

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return ClosingIterator(super().__call__(environ, start_response), self.done)

    def done(self) -> None:
        self.sent = self.client.recv(65536)


@pytest.mark.parametrize("inline", [True, False])
def test_an_answer_is_done_with_when_it_is_sent(inline: bool) -> None:
    # That is when its time is taken, so that waiting for the loop counts.
    ends = socket.socketpair()
    ends[1].settimeout(10)
    app = Closing(ends[1], inline=inline)
    worker = make_worker(app)
    feed(worker, ends, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    if not inline:
        wait_for(lambda: len(worker.loop.threads.finished) == 1)
        assert not app.sent
        worker.loop._finished(None)
    assert app.sent.endswith(b"done")
    close_worker(worker, [ends])


class Slow:
    """An application that is asked in the loop and needs 2 ms for each answer."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def wsgi(self) -> Any:
        return self

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        time.sleep(0.002)
        self.paths.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"done"]


def test_many_requests_sent_ahead_hold_nobody_up() -> None:
    app = Slow()
    worker = make_worker(app)
    ends = [socket.socketpair() for _ in range(4)]
    for pair in ends[:3]:
        feed(worker, pair, b"GET /many HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
    probe = feed(worker, ends[3], b"")
    for number in range(1, 6):
        ends[3][1].sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        worker.loop.turn(0)
        assert app.paths.count("/health") == number and not probe.out
        assert app.paths.count("/many") <= 3 + 5 * number
    while worker.loop.queued:
        worker.loop.turn(0)
    # All are answered in the end, and their connections are read again.
    assert app.paths.count("/many") == 300
    assert all(connection.events == selectors.EVENT_READ for connection in worker.loop.connections.values())
    close_worker(worker, ends)


def test_a_body_that_runs_in_the_loop_alone_is_small() -> None:
    app = Idle()
    app.runs_inline = lambda method, path: True  # type: ignore[method-assign]
    worker = make_worker(app)
    ends = [socket.socketpair()]
    assert feed(worker, ends[0], post(b"x" * 300_000)).busy  # else it would have waited here
    app.go.set()
    wait_for(lambda: len(worker.loop.threads.finished) == 1)
    close_worker(worker, ends)


def test_slow_senders_hold_nobody_up_and_are_ended(start: Any, body: bytes) -> None:
    service = start(request_seconds=6)
    slow = [connect(service) for _ in range(50)]
    for sock in slow:
        sock.sendall(post(body)[:-5])
    begin = time.monotonic()
    for _ in range(20):
        assert service.post("/predict", pull_request(1))[0] == 200
    assert time.monotonic() - begin < 5
    status, headers, _ = read_answer(slow[0])
    assert (status, headers["connection"]) == (408, "close")
    for sock in slow:
        sock.close()


def test_a_client_that_does_not_read_is_dropped(start: Any) -> None:
    service = start(request_seconds=1)
    pulls = json.dumps([pull_request(number) for number in range(200)]).encode()
    with connect(service) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        raw = post(pulls) * 20
        sent = 0
        end = time.monotonic() + 60
        with pytest.raises((ConnectionError, BrokenPipeError)):
            while time.monotonic() < end:
                try:
                    sent += sock.send(raw[sent % len(raw) :][:65536])
                except BlockingIOError:
                    time.sleep(0.05)
    assert service.get("/health")[0] == 200


def test_silent_connections_make_room_for_new_ones(start: Any, body: bytes) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < 2000:
        pytest.skip("needs 2,000 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000 if most < 0 else min(most, 20_000), most))
    service = start(request_seconds=8)
    with ExitStack() as clients:
        kept = clients.enter_context(connect(service))
        kept.sendall(post(body)[:-1])  # a request in progress stays, however many come
        silent = [clients.enter_context(connect(service)) for _ in range(1100)]
        begin = time.monotonic()
        for _ in range(3):
            assert service.get("/health")[0] == 200
        assert time.monotonic() - begin < 3  # a probe's time
        kept.sendall(post(body)[-1:])
        assert read_answer(kept)[0] == 200
        silent[0].settimeout(10)
        assert silent[0].recv(1) == b""  # the oldest one had to go
        # The others after the time for a request, although idle connections may stay for longer.
        silent[-1].settimeout(30)
        assert silent[-1].recv(1) == b""
        assert 5 < time.monotonic() - begin < 25


def test_a_connection_whose_request_has_come_is_not_replaced() -> None:
    app = Idle()
    worker = make_worker(app)
    worker.loop.door.most = 2
    ends = [socket.socketpair() for _ in range(2)]
    first, second = (feed(worker, pair, b"") for pair in ends)
    ends[0][1].sendall(b"G")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with (
            socket.create_connection(listener.getsockname()),
            socket.create_connection(listener.getsockname()),
        ):
            assert not worker.loop.door.take(listener)
            worker.loop.turn(0)
            assert first.reader.in_request
            assert worker.loop.door.take(listener)
            assert second.sock.fileno() < 0 < first.sock.fileno()
            (third,) = (each for each in worker.loop.connections.values() if each is not first)
            for busy in (first, third):
                busy.reader.in_request = True
            assert not worker.loop.door.take(listener)
            assert not worker.loop.door.accepting and len(worker.loop.connections) == 2
            third.sock.close()
    close_worker(worker, ends)


def test_too_large_is_answered_before_it_is_sent(start: Any) -> None:
    service = start(max_body_bytes=10_000)
    with connect(service) as sock:
        sock.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 60_000)
        status, _, content = read_answer(sock)
        assert status == 413 and b"larger than 10000 bytes" in content
    assert 'status="413"' in service.get("/metrics")[1]


def test_a_waiting_request_does_not_hold_up_a_score(start: Any, tmp_path: Any) -> None:
    # Nothing listens there: each page waits for MongoDB as long as it may.
    service = start(mongo_uri="mongodb://127.0.0.1:9", mongo_timeout_seconds=8)
    page = threading.Thread(target=service.get, args=("/",))
    page.start()
    time.sleep(0.2)
    begin = time.monotonic()
    assert service.post("/predict", pull_request(1))[0] == 200
    assert time.monotonic() - begin < 5
    page.join()


def test_unready_first_then_drained(start: Any, body: bytes) -> None:
    service = start(workers=2, drain_wait_seconds=5.0)
    half = connect(service)
    half.sendall(post(body)[:100])
    kept = connect(service)
    kept.sendall(post(body))
    assert read_answer(kept)[1].get("connection") is None
    os.kill(service.process.pid, signal.SIGTERM)
    # Each worker notices for itself.
    wait_for(lambda: all(service.get("/ready")[0] == 503 for _ in range(8)))
    assert "draining" in service.get("/ready")[1]["detail"]
    # New connections and kept ones are still answered, and told to go.
    assert service.post("/predict", pull_request(1))[0] == 200
    kept.sendall(post(body))
    assert read_answer(kept)[1]["connection"] == "close"
    wait_for(lambda: refuses(service))
    half.sendall(post(body)[100:])
    assert read_answer(half)[0] == 200
    assert service.process.wait(60) == 0
    half.close()
    kept.close()


def test_no_request_is_lost_when_it_ends_under_load(start: Any, body: bytes) -> None:
    service = start(workers=2, drain_wait_seconds=4)
    done: list[int] = []
    lost: list[str] = []

    def client() -> None:
        # As a load balancer: it stops sending when the service says that it is not ready.
        while True:
            try:
                if service.get("/ready")[0] != 200:
                    return
                with connect(service) as sock:
                    for _ in range(20):
                        sock.sendall(post(body))
                        status, headers, _ = read_answer(sock)
                        done.append(status)
                        if headers.get("connection") == "close":
                            break
            except OSError as error:
                lost.append(repr(error))
                return

    clients = [threading.Thread(target=client) for _ in range(6)]
    for thread in clients:
        thread.start()
    wait_for(lambda: len(done) > 100 or bool(lost))
    assert service.terminate() == 0
    for thread in clients:
        thread.join(60)
    assert lost == [] and set(done) == {200}


def test_a_worker_that_dies_is_replaced(start: Any) -> None:
    service = start(workers=2)
    victim = service.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.2)
        pids = service.worker_pids()
        workers = service.get("/model")[1]["workers"]
        if victim not in pids and {worker["pid"] for worker in workers} == set(pids) and len(pids) == 2:
            return
    arbiter = Path(f"/proc/{service.process.pid}/status")
    state = arbiter.read_text() if arbiter.exists() else "it has ended"
    raise AssertionError(f"{victim} was killed, now there are {pids}\n{service.log}\nThe arbiter: {state}")


def test_connections_opened_at_once_are_shared_by_the_workers(start: Any) -> None:
    service = start(workers=2)

    def held(ports: set[int]) -> list[int]:
        """How many of the connections from these ports each worker has."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = {
            f"socket:[{row[9]}]"
            for row in rows
            if int(row[1].split(":")[1], 16) == service.port and int(row[2].split(":")[1], 16) in ports
        }
        return [len(ours & open_files(pid)) for pid in service.worker_pids()]

    with ExitStack() as clients:
        ports = {clients.enter_context(connect(service)).getsockname()[1] for _ in range(40)}
        wait_for(lambda: sum(held(ports)) == 40)
        shares = held(ports)
    assert min(shares) >= 10, shares


@pytest.mark.parametrize("boot_seconds", [0.0, 0.05, 0.15, 0.3])
def test_nothing_is_left_after_an_interrupt(start: Any, boot_seconds: float) -> None:
    # The service is ready with its first worker; the others are somewhere in their start.
    service = start(wait=False, workers=4)
    service.wait_until_ready(workers=1)
    time.sleep(boot_seconds)
    workers = service.worker_pids()
    os.killpg(service.process.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches all of them
    assert service.process.wait(60) in {0, 4}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
