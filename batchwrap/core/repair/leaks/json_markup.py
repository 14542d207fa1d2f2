"""Dialects that write a call as a JSON object: Hermes and Qwen, Mistral, Llama, gpt-oss."""

from __future__ import annotations

import re

from batchwrap.core.repair.leaks.dialect import (
    Leak,
    MarkupDialect,
    json_at,
    named_call,
    prefixes_of,
)

_NAME = r"[\w.:-]+"
_TAGGED = re.compile(r"<tool_call>\s*(?=\{)")
_END_OF_TAG = re.compile(r"\s*</tool_call>")
# Older tokenizers write ``[TOOL_CALLS][{…}]``, newer ones ``[TOOL_CALLS]name[ARGS]{…}``.
# https://github.com/vllm-project/vllm/pull/37081
_MISTRAL = re.compile(
    rf"\[TOOL_CALLS\]\s*({_NAME})\s*+(?:\[CALL_ID\](\w+))?(?:\[ARGS\])?\s*+(?=\{{)"
)
_LIST = re.compile(r"\[TOOL_CALLS\]\s*(?=\[\s*\{)")
_END_OF_LIST = re.compile(r"\s*\[/TOOL_CALLS\]")
_PYTHON_TAG = re.compile(r"(?:<\|python_tag\|>)?\s*+(?=\{)")
_BETWEEN = re.compile(r"\s*+;\s*+(?=\{)")
_LLAMA_TAG = re.compile(rf"<function=({_NAME})>\s*(?=\{{)")
_END_OF_FUNCTION = re.compile(r"\s*</function>")
_HARMONY = re.compile(
    r"(?:<\|start\|>assistant)?\s*+(?:<\|channel\|>(?:commentary|analysis))?\s*+to=functions\."
    rf"({_NAME}?)\s*+(?:<\|channel\|>(?:commentary|analysis))?\s*+(?:<\|constrain\|>)?\s*+"
    r"(?:json|code)?\s*+<\|message\|>\s*+(?=\{)"
)
# ``<|call|>`` is a stop token, which servers strip: a complete object is then the end.
_END_OF_CALL = re.compile(r"\s*(?:<\|(?:call|end)\|>|$)")
_STRIPPED = re.compile(
    rf"\s*+(?:commentary|analysis)?\s*+to=functions\.({_NAME}?)\s*+(?:commentary)?\s*+(?:json|code)?"
    r"\s*+(?=\{)"
)


def _hermes(text: str, at: int) -> tuple[list[Leak], int] | None:
    opened = _TAGGED.match(text, at)
    found = json_at(text, opened.end()) if opened else None
    call = named_call(found[1]) if found else None
    closed = _END_OF_TAG.match(text, found[2]) if found else None
    return None if call is None or closed is None else ([call], closed.end())


def _mistral(text: str, at: int) -> tuple[list[Leak], int] | None:
    listed = _LIST.match(text, at)
    if listed is not None:
        found = json_at(text, listed.end())
        if found is None or not isinstance(found[1], list):
            return None
        calls = [call for call in map(named_call, found[1]) if call is not None]
        closed = _END_OF_LIST.match(text, found[2])
        whole = len(calls) == len(found[1])
        return (calls, closed.end() if closed else found[2]) if whole else None
    opened = _MISTRAL.match(text, at)
    found = json_at(text, opened.end()) if opened else None
    if opened is None or found is None or not isinstance(found[1], dict):
        return None
    return [Leak(opened[1], found[0], opened[2] or "")], found[2]


def _llama(text: str, at: int) -> tuple[list[Leak], int] | None:
    opened = _PYTHON_TAG.match(text, at)
    calls: list[Leak] = []
    while opened is not None:
        found = json_at(text, opened.end())
        call = named_call(found[1]) if found else None
        if found is None or call is None:
            return None
        calls.append(call)
        at = found[2]
        opened = _BETWEEN.match(text, at)
    return (calls, at) if calls else None


def _llama_tag(text: str, at: int) -> tuple[list[Leak], int] | None:
    opened = _LLAMA_TAG.match(text, at)
    return _one(text, opened, _END_OF_FUNCTION) if opened else None


def _harmony(text: str, at: int) -> tuple[list[Leak], int] | None:
    opened = _HARMONY.match(text, at)
    return _one(text, opened, _END_OF_CALL) if opened else None


def _stripped(text: str, at: int) -> tuple[list[Leak], int] | None:
    opened = _STRIPPED.match(text, at)
    return _one(text, opened, None) if opened else None


def _one(
    text: str, opened: re.Match[str], end: re.Pattern[str] | None
) -> tuple[list[Leak], int] | None:
    """One object after a head with the tool's name, followed by the end mark if there is one."""
    found = json_at(text, opened.end())
    if found is None or not isinstance(found[1], dict):
        return None
    closed = end.match(text, found[2]) if end else None
    if end is not None and closed is None:
        return None
    return [Leak(opened[1], found[0])], closed.end() if closed else found[2]


HERMES = MarkupDialect(
    ("<tool_call>",),
    re.compile(rf"{prefixes_of('<tool_call>')}|<tool_call>\s*(?:\{{.*)?", re.DOTALL),
    ("</tool_call>",),
    _hermes,
)
MISTRAL = MarkupDialect(
    ("[TOOL_CALLS]",),
    re.compile(
        rf"{prefixes_of('[TOOL_CALLS]')}|\[TOOL_CALLS\]\s*+(?:\[.*|[\w.:-]*+\s*+"
        rf"(?:{prefixes_of('[ARGS]', '[CALL_ID]')}|\[(?:ARGS|CALL_ID)\].*|\{{.*))?",
        re.DOTALL,
    ),
    ("}", "]"),
    _mistral,
)
LLAMA = MarkupDialect(
    ("<|python_tag|>",),
    re.compile(
        rf"{prefixes_of('<|python_tag|>')}|<\|python_tag\|>\s*(?:\{{.*)?|;\s*(?:\{{.*)?", re.DOTALL
    ),
    ("}",),
    _llama,
)
LLAMA_TAG = MarkupDialect(
    ("<function=",),
    re.compile(
        rf"{prefixes_of('<function=')}|<function=[\w.:-]*|<function=[\w.:-]+>\s*(?:\{{.*)?",
        re.DOTALL,
    ),
    ("</function>",),
    _llama_tag,
)
# Without the tag, which some servers strip. https://github.com/BerriAI/litellm/issues/7209
BARE_OBJECT = MarkupDialect(
    ('{"', "{ ", "{\n"),
    re.compile(
        r';\s*(?:\{.*)?|\{\s*(?:"(?:t(?:y(?:p(?:e.*)?)?)?|n(?:a(?:m(?:e.*)?)?)?|f(?:u(?:n(?:c.*)?)?)?)?)?',
        re.DOTALL,
    ),
    ("}",),
    _llama,
    whole=True,
)
HARMONY = MarkupDialect(
    (
        *("<|channel|>commentary", "<|channel|>analysis to=", "<|start|>assistant to="),
        "<|start|>assistant<|channel|>commentary",
        "<|start|>assistant<|channel|>analysis to=",
    ),
    re.compile(
        rf"{prefixes_of('<|start|>assistant', '<|channel|>commentary', '<|channel|>analysis to=')}"
        r"|<\|(?:start|channel)\|>.*",
        re.DOTALL,
    ),
    ("<|call|>", "<|end|>", "}"),
    _harmony,
)
# Servers that decode without special tokens leave only the words between them.
# https://github.com/raullenchai/Rapid-MLX/issues/480
HARMONY_STRIPPED = MarkupDialect(
    ("commentary to=functions.", "to=functions.", " to=functions.", "analysis to=functions."),
    re.compile(
        rf"\s*{prefixes_of('commentary to=functions.', 'analysis to=functions.', 'to=functions.')}"
        r"|\s*(?:commentary |analysis )?to=functions\..*",
        re.DOTALL,
    ),
    ("}",),
    _stripped,
    whole=True,
)
