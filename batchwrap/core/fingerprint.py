"""The same bytes for equal values, whatever they hold: what digests are made of."""

from __future__ import annotations

import orjson


def fingerprint(value: object) -> bytes:
    """JSON where that is possible; else what Python shows; empty for what is nested without end.

    JSON has no integers beyond 64 bits and no half surrogates; arguments of a decorated
    function may have both.
    """
    try:
        return orjson.dumps(value, default=repr)
    except TypeError:
        pass
    try:
        return repr(value).encode(errors="surrogatepass")
    except RecursionError:
        return b""
