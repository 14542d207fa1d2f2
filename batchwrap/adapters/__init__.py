"""Ways in: an HTTP transport around a client's own, and a decorator for functions.

Adapters only convert between a library's types and the exchange.
"""
