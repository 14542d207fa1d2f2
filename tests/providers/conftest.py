"""What is told to OpenTelemetry, for the names of providers."""

from tests.observe.conftest import telemetry, the_telemetry

__all__ = ["telemetry", "the_telemetry"]
