"""Both ends of a connection by hand: what a proxy does to bytes shows on sockets only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Message:
    """A request or a response as it came.

    Attributes:
        start: its first line.
        headers: in their order, names in lower case.
        body: without its framing.
        complete: whether it came to its end.
    """

    start: bytes
    headers: Headers
    body: bytes
    complete: bool = True


def receive(sock: socket.socket, *, no_body: bool = False) -> Message:
    """Read one message."""
    with sock.makefile("rb") as file:
        start = file.readline().rstrip(b"\r\n")
        headers = []
        while line := file.readline().rstrip(b"\r\n"):
            name, _, value = line.partition(b":")
            headers.append((name.lower(), value.strip()))
        known = dict(headers)
        if no_body:
            return Message(start, headers, b"")
        if known.get(b"transfer-encoding") == b"chunked":
            pieces = []
            while size := int(file.readline() or b"0", 16):
                pieces.append(file.read(size))
                file.readline()
            complete = file.readline() == b"\r\n"
            return Message(start, headers, b"".join(pieces), complete)
        length = int(known.get(b"content-length", b"0"))
        body = file.read(length)
        return Message(start, headers, body, len(body) == length)


def message(start: bytes, headers: Headers, body: bytes = b"") -> bytes:
    """The bytes of a message, with no framing but what the headers say."""
    lines = [start, *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"", body])


@dataclass
class Upstream:
    """A server that records each request and lets a function answer it on the socket."""

    answer: Callable[[socket.socket, Message], None]
    requests: list[Message] = field(default_factory=list)
    url: str = ""
    begun: threading.Event = field(default_factory=threading.Event)  # a request came, or a part

    def serve(self, sock: socket.socket) -> None:
        """Answer one connection until it is closed."""
        with sock:
            while sock.recv(1, socket.MSG_PEEK):
                self.begun.set()
                asked = receive(sock)
                self.requests.append(asked)
                self.answer(sock, asked)


@contextmanager
def upstream(answer: Callable[[socket.socket, Message], None] | bytes) -> Iterator[Upstream]:
    """A real server on the loopback that answers with these bytes, or as a function does."""

    def same(sock: socket.socket, asked: Message) -> None:
        assert isinstance(answer, bytes)
        sock.sendall(answer)

    it = Upstream(same if isinstance(answer, bytes) else answer)
    listener = socket.create_server(("127.0.0.1", 0))
    it.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(it, sock), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield it
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _serve(it: Upstream, sock: socket.socket) -> None:
    with suppress(OSError):  # the proxy hung up, which some tests are about
        it.serve(sock)


def connect(url: str) -> socket.socket:
    """A connection to a server."""
    host, _, port = url.removeprefix("http://").partition("/")[0].rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


HOST = (b"Host", b"localhost")


def ask(url: str, start: bytes, headers: Headers = [], body: bytes = b"") -> Message:  # noqa: B006
    """Send one request as it is and read the answer."""
    with connect(url) as sock:
        sock.sendall(
            message(
                start + b" HTTP/1.1",
                [*([] if any(n.lower() == b"host" for n, _ in headers) else [HOST]), *headers],
                body,
            )
        )
        return receive(sock, no_body=start.startswith(b"HEAD "))
