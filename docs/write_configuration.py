"""Writes the table of options in docs/configuration.md: `make docs-configuration`."""

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from batchwrap.configuration import OptionKey, option_keys
from batchwrap.configuration.option_table import is_section, item_of, members, value_of

PAGE = Path(__file__).with_name("configuration.md")
BEGIN, END = "<!-- made by write_configuration.py -->\n", "<!-- end -->"
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "string",
}


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def table() -> str:
    """The table, in Markdown."""
    rows = ["| option | values | default |", "|---|---|---|", *map(_row, option_keys())]
    return "\n".join(rows) + "\n"


def _row(option: OptionKey) -> str:
    mark = " \\*" if option.needs_named_file else ""
    return f"| `{option.key}`{mark} | {_values(option)} | {_default(option)} |"


def _values(option: OptionKey) -> str:
    if option.is_code:
        return "only in code"
    words = list(dict.fromkeys(word for kind in option.types if (word := _word(kind))))
    if option.is_optional:
        words.append("`false`")
    return ", ".join(words)


def _word(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{json.dumps(it)}`" for it in get_args(kind))
    if (inner := item_of(kind)) is not None:
        return f"list of {' or '.join(map(_plural, filter(None, map(_word, members(inner)))))}"
    if (inner := value_of(kind)) is not None:
        return f"table: for each name, {' or '.join(filter(None, map(_word, members(inner))))}"
    if is_section(kind):
        return f"table (`{kind.__name__}`)"
    return _WORDS.get(kind, "")


def _plural(word: str) -> str:
    """The word for several values; choices, which stand in backticks, stay as they are."""
    noun, rest = re.fullmatch(r"(\w*)(.*)", word).groups()  # type: ignore[union-attr]
    return f"{noun}s{rest}" if noun else rest


def _default(option: OptionKey) -> str:
    if option.is_code:
        return ""
    if option.section is not None:
        return "off" if option.default is None else "on"
    default = False if option.default is None else option.default
    try:
        return f"`{json.dumps(default)}`"
    except TypeError:  # directives and markers
        return f"{len(default)} entries"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
