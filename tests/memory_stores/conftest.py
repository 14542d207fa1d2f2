"""Real servers, as the stores of budgets are tested with."""

from __future__ import annotations

from tests.throttle.conftest import redis_cluster as redis_cluster  # fixtures
from tests.throttle.conftest import redis_server as redis_server
from tests.throttle.conftest import valkey_server as valkey_server
