"""What is seen of requests from outside: events, log lines, spans and metrics."""

from batchwrap.observe.request_observer import RequestObserver

__all__ = ["RequestObserver"]
