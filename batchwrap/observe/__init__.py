"""What is seen of requests from outside: events, log lines, spans and metrics."""

from batchwrap.observe.observer import Observer

__all__ = ["Observer"]
