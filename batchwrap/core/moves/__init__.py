"""The moves between the two views of one conversation, one module each.

The agent view holds the agent's own single calls, the provider view multi-calls and reminders.
`batchwrap.core.exchange.translator` runs the moves in this order:

    request: past_turns reads the history -> fold -> coalesce; or deliver answers it locally
    answer:  gather -> expand, which puts calls into waves (conflict) -> read_ahead
"""
