"""The moves between the two views of one conversation, a module each.

The agent view holds the agent's own single calls, the provider view multi-calls and
reminders. `batchwrap.core.exchange.translator` runs the moves in order.
"""
