"""Reminders: put a short directive to batch calls at the end of the conversation, where it counts.

Models follow instructions best if these are recent. `schedule` decides when a reminder is due, with
`turns` and `modes` for what it depends on; `gates` hold one back; `directives` writes its text, and
`placement` puts it into the conversation.
"""
