"""Shared memory on Redis servers: one hash for each place of a conversation, which expires.

Loading and keeping take one round trip each. All keys of an account are in one slot of a cluster.
The server may evict keys: what it forgets costs a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any
from urllib.parse import parse_qs

from batchwrap.errors import StoreRefused, StoreUnavailable
from batchwrap.memory_stores import OPTION
from batchwrap.memory_stores.memory_store import (
    KEPT_S,
    MOST_LOADED_BYTES,
    MOST_PARTS,
    TIMEOUT_S,
    SealedRecord,
)
from batchwrap.throttle.stores.redis_servers import errors, servers_of

_LOAD = """
local found, size = {}, 0
for at, key in ipairs(KEYS) do
    local kept = redis.call('HVALS', key)
    for _, one in ipairs(kept) do size = size + #one end
    found[at] = size <= tonumber(ARGV[1]) and kept or {}
end
return found
"""
_KEEP = """
for at, key in ipairs(KEYS) do
    local part, sealed = ARGV[2 * at + 1], ARGV[2 * at + 2]
    local is_new = redis.call('HEXISTS', key, part) == 0
    if is_new and redis.call('HLEN', key) >= tonumber(ARGV[2]) then
        redis.call('HDEL', key, redis.call('HKEYS', key)[1])
    end
    redis.call('HSET', key, part, sealed)
    redis.call('PEXPIRE', key, ARGV[1])
end
"""


class RedisMemory:
    """The memory of all hosts that use the same servers; see `SharedStore`.

    It connects at the first operation.

    Args:
        url: as for `Throttle.store`.

    Raises:
        ConfigError: the URL is not one of Redis.
    """

    def __init__(self, url: str) -> None:
        # No request waits for a fail-over: without the memory it loses a batch at most.
        self._servers = servers_of(url, option=OPTION, timeout_s=TIMEOUT_S, failover_s=0.0)
        self.name = self._servers.name
        own = parse_qs(url.partition("?")[2]).get("socket_timeout")
        self.timeout_s = float(own[-1]) if own else TIMEOUT_S

    def load(self, account: str, names: Sequence[str]) -> list[list[str]]:
        """The sealed contents under each of the names."""
        found: list[list[str]] = self._run(_LOAD, account, names, MOST_LOADED_BYTES)
        return found

    def keep(self, account: str, records: Sequence[SealedRecord]) -> None:
        """Keep records, and drop those of the same part."""
        pairs = [text for one in records for text in (one.part, one.sealed)]
        names = [one.name for one in records]
        self._run(_KEEP, account, names, round(KEPT_S * 1_000), MOST_PARTS, *pairs)

    def close(self) -> None:
        """Close the connections."""
        self._servers.close()

    def _run(self, script: str, account: str, names: Sequence[str], *arguments: str | int) -> Any:
        keys = [f"batchwrap:{{{account}}}:memory:1:{name}" for name in names]
        rest = (len(keys), *keys, *arguments)
        sha = sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            try:
                return self._servers.run(keys[0], "EVALSHA", sha, *rest)
            except errors.NoScriptError:  # the server is new or was restarted
                return self._servers.run(keys[0], "EVAL", script, *rest)
        except UnicodeDecodeError as error:  # nothing that batchwrap has written
            raise StoreUnavailable(self.name, "it holds bytes that are no text") from error
        except (errors.RedisError, errors.RedisClusterException) as error:
            kind = StoreRefused if self._servers.is_refusal(error) else StoreUnavailable
            raise kind(self.name, str(error)) from error
