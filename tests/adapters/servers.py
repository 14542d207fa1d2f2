"""Small real servers for what the lab does not speak: a forward proxy, and HTTP/2."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events

from batchwrap.lab import Raw


@contextmanager
def forward_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy for plain HTTP: its address, and the URLs that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each body waits 40 ms for the ACK of its head

        def do_POST(self) -> None:
            asked.append(self.path)
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers["content-length"]))
            upstream = http.client.HTTPConnection(url.netloc)
            upstream.request("POST", url.path, body, dict(self.headers))
            response = upstream.getresponse()
            data = response.read()
            upstream.close()
            self.send_response(response.status)
            self.send_header("content-type", response.headers["content-type"])
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Keyed:
    """A provider that answers by the key of a request.

    Attributes:
        base_url: where it is.
        keys: of the requests that came, in their order.
    """

    base_url: str = ""
    keys: list[str] = field(default_factory=list)


@contextmanager
def keyed_server(answer: Callable[[str, dict[str, Any]], Raw]) -> Iterator[Keyed]:
    """A server whose answers follow from the key and the body of a request."""
    keyed = Keyed()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each body waits 40 ms for the ACK of its head

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = self.headers["authorization"].removeprefix("Bearer ")
            keyed.keys.append(key)
            raw = answer(key, body)
            data = b"".join(raw.chunks)
            self.send_response(raw.status)
            for name, value in {**raw.headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    keyed.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield keyed
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def http2_server(answer: Callable[[dict[str, Any]], tuple[str, bytes]]) -> Iterator[str]:
    """A server that speaks HTTP/2 only, from the first byte.

    Args:
        answer: content type and body of the answer to a JSON request.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connected, _ = listener.accept()
        except OSError:
            return
        with connected:
            _speak_http2(connected, answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(5)


def _speak_http2(
    connected: socket.socket, answer: Callable[[dict[str, Any]], tuple[str, bytes]]
) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    connected.sendall(connection.data_to_send())
    bodies: dict[int, bytes] = {}
    while data := connected.recv(65_536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                kind, body = answer(json.loads(bodies[event.stream_id]))
                headers = [(":status", "200"), ("content-type", kind)]
                connection.send_headers(event.stream_id, headers)
                connection.send_data(event.stream_id, body, end_stream=True)
        connected.sendall(connection.data_to_send())
