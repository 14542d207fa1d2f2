"""Makes the bytes from which digests are computed: equal values give equal bytes."""

from __future__ import annotations

import orjson


def fingerprint(value: object) -> bytes:
    """The JSON of a value, or its repr if it has no JSON; empty if it is nested too deeply.

    orjson writes no integers beyond 64 bits and no half surrogates, but the arguments of a
    decorated function may contain both.
    """
    try:
        return orjson.dumps(value, default=repr)
    except TypeError:
        pass
    try:
        return repr(value).encode(errors="surrogatepass")
    except RecursionError:
        return b""
