"""The agent's tools, the multi-tools that are made from them, and how calls of these are read.

`find` and `native` recognise tools, `multi` and `offer` make multi-tools, and `tool_set` holds all
of that for one list of tools. `items`, `meaning` and `lenient` read the arguments of calls.
"""
