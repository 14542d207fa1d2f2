"""Reports requests to the outside: events, log lines, spans and metrics."""

from batchwrap.observe.request_observer import RequestObserver

__all__ = ["RequestObserver"]
