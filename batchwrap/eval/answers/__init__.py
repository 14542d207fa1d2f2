"""How a model answers in given situations: how often, and how fully, it batches what it knows.

A mode of `batchwrap eval` for minutes: each answer is one request, and nothing is carried out.
`situations` has the conversations, `answer_session` asks about them and keeps the results in a
file, `answer_summary` adds them up, and `answer_report` shows them.
"""
