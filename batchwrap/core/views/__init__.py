"""Two views of one conversation, and the moves between them.

The agent view holds the agent's own single calls, the provider view multi-calls and
reminders. Each move is a module; `translate` runs them in order.
"""
