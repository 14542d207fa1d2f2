"""`Server`: the ASGI application on a socket, with uvicorn."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import uvicorn

from batchwrap.errors import ConfigError
from batchwrap.serve.asgi_app import create_app
from batchwrap.serve.hosts import EVERY_ADDRESS
from batchwrap.serve.peers import Peers
from batchwrap.serve.protocol import Protocol
from batchwrap.serve.settings import Settings

# Longer than clients keep idle connections. If the server closed first, a client might send a
# request into a connection that is being closed.
_KEEP_ALIVE_S = 120
FINISH_WITHIN_S = 30
_MAX_HEAD_BYTES = 64 * 1024


class Server:
    """`batchwrap serve` in a program. It listens once it is made, and answers while it runs.

    Args:
        settings: the address, the upstream, and who may use the endpoint.
        listener: the socket to listen at, if it is open already.
        peers: the other processes that serve the same port.
        options: the options of `batchwrap.wrap`.

    Raises:
        ConfigError: an option is wrong, the port is taken, or the host is open to others
            and there is no token.

    Example:
        >>> from batchwrap.serve import Server, Settings
        >>> server = Server(Settings(upstream="https://api.cerebras.ai/v1"), remind_every=4)
        >>> server.base_url.endswith("/v1")
        True
        >>> server.close()
    """

    def __init__(
        self,
        settings: Settings,
        *,
        listener: socket.socket | None = None,
        peers: Peers | None = None,
        **options: Any,
    ) -> None:
        app = create_app(settings, peers=peers, **options)
        self._settings = settings
        self._listener = listener or listen(settings)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                http=Protocol,
                h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,  # the upstream sends both
                date_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=FINISH_WITHIN_S,
            )
        )

    @property
    def url(self) -> str:
        """The address at which it listens, without a path."""
        return address_of(self._listener)

    @property
    def base_url(self) -> str:
        """The base URL that agents use instead of the upstream's."""
        return self.url + self._settings.base_path

    def run(self) -> None:
        """Serve until SIGINT, SIGTERM or `stop`; running requests have 30 s to finish."""
        try:
            self._uvicorn.run(sockets=[self._listener])
        finally:
            self.close()

    def stop(self) -> None:
        """End a `run` in another thread."""
        self._uvicorn.should_exit = True

    def close(self) -> None:
        """Close the port."""
        self._listener.close()


def address_of(listener: socket.socket) -> str:
    """The address of a listening socket as a URL without a path.

    A socket that listens at all addresses has the one that a program on this machine connects to.
    """
    host, port = listener.getsockname()[:2]
    host = EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(settings: Settings) -> socket.socket:
    """Open the port.

    Raises:
        ConfigError: the port is taken, or the host is open to others and there is no token.
    """
    host, port = settings.host, settings.port
    # The protocol is named, or asyncio leaves Nagle's algorithm on: 40 ms a response.
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise ConfigError("host", f"{host!r} is no address of this machine ({error})") from error
    family, kind, protocol, _, address = found[0]
    if settings.token is None and not ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise ConfigError("host", f"{host} is open to other machines: that needs a token")
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError("port", f"cannot listen at {host}:{port}: {error.strerror}") from error
    return listener
