"""Data: names that models use for parameters and tools in place of those in the schema.

`find.role_of` decides which tools can be batched, and is strict. The words here only help to read a
call of a known tool, so there may be many. A word with two roles is in both lists: it counts if the
tool has a parameter for only one of them.
"""

from __future__ import annotations

import functools

from batchwrap.core.tools.find import role_of, words_of


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_ALIASES: dict[str, frozenset[str]] = {
    role: _words(names)
    for role, names in {
        "path": """absolute_file_path file_paths filenames filepaths files fname full_path
            location paths source_file src_path target target_path uri""",
        "folder": "base_dir cwd dirs dirname folders root root_dir search_dir",
        "old": """find from_text match old_code old_content old_lines old_value original
            original_code original_content original_string original_text replace_from search
            search_block search_string search_text target_text to_replace""",
        "new": """new_code new_content new_lines new_value replace replace_string replace_text
            replace_to replace_with replacement replacement_content replacement_string
            replacement_text to_text updated updated_code updated_content updated_text""",
        "content": "body data file_body file_contents file_data full_content new_content",
        "pattern": """expression grep_pattern keyword keywords needle patterns queries regexp
            search text""",
        "edits": "changes diffs hunks modifications patches updates",
        "command": "bash_command cmdline command_line commands shell_command",
    }.items()
}
_MEANINGFUL = frozenset({*_ALIASES, "patch"})
# Roles of parameters that hold arbitrary texts: JSON in them stays a text.
TEXT_ROLES = frozenset({"old", "new", "content", "patch"})
# Fields that may hold the name of a call's tool, the most reliable first.
NAME_KEYS = (
    "tool",
    "tool_name",
    "recipient_name",
    "toolName",
    "function_name",
    "function",
    "name",
    "action",
    "method",
    "type",
)
# Fields that may hold a call's arguments, the most reliable first.
ARGUMENT_KEYS = (
    "arguments",
    "parameters",
    "args",
    "input",
    "tool_input",
    "params",
    "tool_args",
    "tool_arguments",
    "tool_parameters",
    "function_args",
    "kwargs",
    "payload",
)
# Fields around a call that say nothing about what it does.
ENVELOPE = _words(
    """id type index call_id tool_call_id tool_use_id description explanation reason reasoning
    note notes title thought thoughts rationale purpose comment status object"""
)
# Words in a tool's name that say nothing about what it does.
FILLERS = _words(
    """batch bulk call file files function functions many multi multiple parallel text tool
    tools"""
)
# Verbs for a kind of tools, for models that use another verb than the agent's own tool.
VERBS: dict[str, frozenset[str]] = {
    "read": frozenset({"cat", "open", "read", "view"}),
    "edit": frozenset({"edit", "modify", "patch", "replace", "update"}),
    "write": frozenset({"create", "save", "write"}),
}
# Names that models invent for a batch of several tools.
MIXED_NAMES = _words(
    """batch batch_calls batch_tool batch_tool_calls batch_tools functions_parallel multi_call
    multi_tool multi_tool_call multi_tool_use multi_tool_use_parallel parallel parallel_calls
    parallel_tool_calls"""
)


@functools.lru_cache(maxsize=4_096)
def roles_of(key: str) -> frozenset[str]:
    """The roles that a key may have, according to the aliases and `find.role_of`."""
    joined = "_".join(words_of(key))
    roles = {role for role, names in _ALIASES.items() if joined in names}
    return frozenset(roles | ({role_of(key)} & _MEANINGFUL))


def same_role(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two sets of roles have one in common. A folder is a path as well."""
    places = {"path", "folder"}
    return bool(one & other) or bool(one & places and other & places)
