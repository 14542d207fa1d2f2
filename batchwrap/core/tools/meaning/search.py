"""The search over meanings: finds the calls that a JSON value means.

It descends through everything that may surround calls: lists, wrappers under any key, tool names as
keys, and JSON in texts. Other fields of a wrapper are shared by all calls in its list. In a call of
`multi_read`, for example, all of these mean `read_file(a.py)` and `read_file(b.py)`:

    {"files": [{"path": "a.py"}, {"path": "b.py"}]}
    {"paths": ["a.py", "b.py"]}
    {"calls": "[{\\"tool\\": \\"read_file\\", \\"args\\": {\\"path\\": \\"a.py\\"}}, …]"}

The tool is known from the start (a multi-tool of one kind), is named on the way (a batch), or is
the only one whose schema fits. Texts that a tool takes literally (to replace, to write) are never
searched, so the contents of a file cannot become calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchwrap.core.parse import rendered
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.meaning.aliases import (
    ARGUMENT_KEYS,
    ENVELOPE,
    NAME_KEYS,
    TEXT_ROLES,
    roles_of,
)
from batchwrap.core.tools.meaning.decode import container_in
from batchwrap.core.tools.meaning.forms import Fields, Misfit, ParameterForm
from batchwrap.core.tools.meaning.toolbox import MIXED, Target, Toolbox

# Levels of wrappers. A batch within a batch, each written as a call of OpenAI's API, has seven.
_MOST_DEPTH = 16
# A call without a name is compared with at most this many tools.
_MOST_GUESSED = 64
# An object with more fields is neither a call nor a wrapper of calls.
_MOST_FIELDS = 64
_PLACES = frozenset({"path", "folder"})
# Kinds of tools that may run a command: `["rm", "-r", "x"]` is one command and not three.
_COMMANDS = ("barrier", "sequential")
# Keys for names that can mean nothing but a tool.
_SURE_NAMES = frozenset(NAME_KEYS[: NAME_KEYS.index("name")])


@dataclass(frozen=True, slots=True, repr=False)
class Meant:
    """A call that was understood.

    Attributes:
        tool: the agent's tool.
        arguments: its arguments as JSON text.
    """

    tool: SingleTool
    arguments: str


@dataclass(frozen=True, slots=True)
class Misread:
    """Something in the place of a call that has no meaning, or more than one.

    Attributes:
        why: what is wrong with it, for the model.
        unknown: the name of a tool that the agent does not have; None if it names no such tool.
        form: the tool that it was read for; None if that is unknown.
        contradicts: whether it is a call, but with more than one meaning.
    """

    why: str
    unknown: str | None = None
    form: ParameterForm | None = None
    contradicts: bool = False


Part = Meant | Misread
_Shared = Mapping[str, Any]
_ALONE: _Shared = {}


def read(value: Any, toolbox: Toolbox, tool: SingleTool | None) -> list[Part]:
    """The calls that the arguments of a multi-call mean, in order.

    Args:
        value: the arguments, which may be any JSON value.
        toolbox: the agent's tools.
        tool: the tool of all calls; None if each call names its own.

    Returns:
        A call, or a `Misread` with the reason, for each part.
    """
    search = _Search(toolbox)
    if isinstance(value, str):
        held = container_in(value)
        value = value if held is None else held
    target: Target = MIXED if tool is None else toolbox.form(tool)
    return search.value(value, target, _ALONE, 0)


class _Search:
    """One search. Each method reads one kind of value and returns the parts that it means."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    def value(self, value: Any, target: Target, shared: _Shared, depth: int) -> list[Part]:
        """The calls that a value means.

        Args:
            value: the value.
            target: the tool of all calls, or `MIXED`.
            shared: fields outside of the value that hold for all of its calls.
            depth: the number of wrappers around it.
        """
        form = target if isinstance(target, ParameterForm) else None
        if depth > _MOST_DEPTH:
            return [Misread("it is nested too deep", form=form)]
        if isinstance(value, list):
            inner = (
                [_words_of_one("a list", form)]
                if form is not None and _are_words(one, form)
                else self.value(one, target, shared, depth + 1)
                for one in value
            )
            return [part for parts in inner for part in parts]
        if isinstance(value, str):
            return self._text(value, target, shared, depth)
        if not isinstance(value, dict):
            return [Misread("it is neither an object nor a text", form=form)]
        if form is None:
            return self._object(value, shared, depth)
        return self._fields(value, form, shared, depth)

    def _text(self, text: str, target: Target, shared: _Shared, depth: int) -> list[Part]:
        """The calls that a text means: it encodes calls as JSON, or is a tool's only argument."""
        held = container_in(text)
        inner = [] if held is None else self.value(held, target, shared, depth + 1)
        if not isinstance(target, ParameterForm):
            return inner or [Misread("it names no tool")]
        name = target.text_parameter(shared)
        if name is None:
            return inner or [Misread("a text alone is not enough", form=target)]
        if not all(isinstance(part, Meant) for part in inner) or not _speaks_of(held, target):
            inner = []
        if not inner:
            return [_call(target, {name: text}, shared)]
        if target.is_harmless:  # such a text is not a path, so it can only mean the calls
            return inner
        return [Misread("it may be a text, or the JSON of a call", form=target, contradicts=True)]

    def _fields(
        self, value: Fields, form: ParameterForm, shared: _Shared, depth: int
    ) -> list[Part]:
        """The calls of a known tool that an object means."""
        # The exact form is never read in another way.
        if not shared and form.is_whole(value):
            return [Meant(form.tool, _json(value))]
        value, other = self._without_names(value, form)
        if other is not None:
            return [Misread(f"it names another tool, `{other}`", form=form)]
        if words := next((key for key in value if _may_be_words(key, value, form)), None):
            return [_words_of_one(f"`{words}`", form)]
        columns = [name for name in value if _is_column(name, value[name], form)]
        if len(columns) > 1:
            return _rows(value, columns, form, shared)
        held = _held(value, form)
        if not held:
            whole = _call(form, value, shared)
            held = _own_lists(value, form) if isinstance(whole, Misread) else {}
            if not held:
                return [whole]
        fields = {k: one for k, one in value.items() if k not in held and _is_known(k, form)}
        outside, twice = _joined(shared, fields)
        if twice:
            return [_given_twice(twice, form)]
        parts: list[Part] = []
        for key, inner in held.items():
            cells = _cells(key, inner) if isinstance(inner, list) and key in columns else inner
            parts += self.value(cells, form, outside, depth + 1)
        if columns or any(isinstance(part, Meant) for part in parts):
            return parts
        # The list or object holds no calls, so it may be an unknown field of a call.
        whole = _call(form, value, shared)
        contradicts = any(isinstance(part, Misread) and part.contradicts for part in parts)
        return [whole] if isinstance(whole, Meant) and not contradicts else parts

    def _without_names(self, value: Fields, form: ParameterForm) -> tuple[Fields, str | None]:
        """The fields without those that name the tool; and the name if it is another tool's."""
        names = [
            key for key in NAME_KEYS if key not in form.types and isinstance(value.get(key), str)
        ]
        meant = {key: self._toolbox.resolve(value[key]) for key in names}
        other = next(
            (k for k, t in meant.items() if isinstance(t, ParameterForm) and t is not form), None
        )
        if other is not None and form.alias(other, value) is None:
            return value, str(value[other])
        drop = {key for key, target in meant.items() if target is not None}
        return {key: one for key, one in value.items() if key not in drop}, None

    def _object(self, value: Fields, shared: _Shared, depth: int) -> list[Part]:
        """The calls that an object means if only the object itself can name the tool."""
        function = value.get("function")
        if isinstance(function, dict):  # a call in the form of OpenAI's API
            value = {**{key: one for key, one in value.items() if key != "function"}, **function}
        named = [key for key in NAME_KEYS if isinstance(value.get(key), str)]
        for key in named:
            target = self._toolbox.resolve(value[key])
            if target is not None:
                rest = {name: one for name, one in value.items() if name != key}
                return self._named(rest, target, shared, depth)
        if named and not self._wraps(value, named):
            guessed = self._guess(value, shared)
            return [_unknown(str(value[named[0]])) if guessed is None else guessed]
        return self._unnamed(value, shared, depth)

    def _wraps(self, value: Fields, named: Sequence[str]) -> bool:
        """Whether an object with a name that is not a tool's wraps calls that have names."""
        if not _SURE_NAMES.isdisjoint(named) or _payload(value) is not None:
            return False
        held = list(_containers(value).values())
        return bool(held) and all(
            isinstance(one, list) and all(map(self._names, one)) for one in held
        )

    def _names(self, value: object) -> bool:
        """Whether an object names a tool of the agent."""
        if not isinstance(value, dict):
            return False
        function = value.get("function")
        fields = function if isinstance(function, dict) else value
        names = (fields[key] for key in NAME_KEYS if isinstance(fields.get(key), str))
        return any(self._toolbox.resolve(name) is not None for name in names)

    def _named(self, rest: Fields, target: Target, shared: _Shared, depth: int) -> list[Part]:
        """The calls of an object that has named its tool; `rest` are its other fields."""
        if not isinstance(target, ParameterForm):
            return self._unnamed(rest, shared, depth)
        fields = {k: one for k, one in rest.items() if k in target.types or k not in ENVELOPE}
        key = _payload(fields, target)
        if key is None:
            return self._fields(fields, target, shared, depth + 1)
        beside = (k for k in fields if k != key and _is_known(k, target))
        around, twice = _joined(shared, {k: fields[k] for k in beside})
        if twice:
            return [_given_twice(twice, target)]
        if _may_be_words(key, fields, target):
            return self._fields(fields, target, shared, depth + 1)
        inner = {} if fields[key] in (None, "") else fields[key]
        if isinstance(inner, str) and isinstance(held := container_in(inner), dict):
            inner = held  # in OpenAI's API arguments are a text that encodes JSON
        if not inner and not around:
            return [_call(target, {}, around)]
        return self.value(inner or dict(around), target, around if inner else _ALONE, depth + 1)

    def _unnamed(self, value: Fields, shared: _Shared, depth: int) -> list[Part]:
        """The calls of an object without a field for a tool's name.

        Its keys may be names of tools, its shape may fit only one tool, or it may wrap calls.
        """
        own = {key: one for key, one in value.items() if key not in ENVELOPE}
        targets = {key: self._toolbox.resolve(key) for key in own}
        if own and all(target is not None for target in targets.values()):
            for key, target in targets.items():
                if isinstance(target, ParameterForm) and _are_words(own[key], target):
                    return [_words_of_one(f"`{key}`", target)]
            parts = [
                part
                for key, target in targets.items()
                if target is not None
                for part in self.value(own[key], target, shared, depth + 1)
            ]
            if any(isinstance(part, Meant) for part in parts):
                return parts
        guessed = self._guess(value, shared)
        if guessed is not None:
            return [guessed]
        held = _containers(value)
        if len(own) > 1:  # an object may also be the content of a file to be written
            held = {key: inner for key, inner in held.items() if not roles_of(key) & TEXT_ROLES}
        if not held and len(own) == 1:
            [(key, text)] = own.items()
            inner = container_in(text) if isinstance(text, str) else None
            held = {} if inner is None or roles_of(key) & TEXT_ROLES else {key: inner}
        around, twice = _joined(shared, {k: one for k, one in own.items() if k not in held})
        if twice or len(around) > _MOST_FIELDS:
            return [_given_twice(twice, None) if twice else Misread("it names no tool")]
        parts = [p for inner in held.values() for p in self.value(inner, MIXED, around, depth + 1)]
        return parts or [Misread("it names no tool" if own else "it is empty")]

    def _guess(self, value: Fields, shared: _Shared) -> Part | None:
        """The call of the only tool whose schema an object fits; None if it fits no tool."""
        if len(value) > _MOST_FIELDS:
            return None
        fitting: list[tuple[ParameterForm, Part]] = []
        for form, _ in zip(self._toolbox, range(_MOST_GUESSED), strict=False):
            fields = {k: one for k, one in value.items() if k in form.types or k not in ENVELOPE}
            known = all(k in form.types or form.alias(k, fields) is not None for k in fields)
            made = _call(form, fields, shared) if fields and known else None
            if isinstance(made, Meant):
                fitting.append((form, made))
        if not fitting:
            return None
        if len(fitting) > 1:
            names = " or ".join(f"`{form.tool.name}`" for form, _ in fitting[:3])
            return Misread(f"it names no tool, and may mean {names}")
        [(form, made)] = fitting
        # A barrier may do anything, so it must be named.
        barrier = form.tool.kind == "barrier"
        return Misread("it names no tool") if barrier else made


def _call(form: ParameterForm, fields: Fields, shared: _Shared) -> Part:
    """The call of a tool that an object means, or the reason why it means none."""
    try:
        return Meant(form.tool, _json(form.read(fields, shared)))
    except Misfit as misfit:
        return Misread(misfit.words, form=form, contradicts=misfit.contradicts)


def _unknown(name: str) -> Misread:
    return Misread(f"there is no tool `{name}`", unknown=name)


def _json(value: object) -> str:
    return rendered(value).decode()


def _given_twice(name: str, form: ParameterForm | None) -> Misread:
    return Misread(f"`{name}` is given twice, with two values", form=form, contradicts=True)


def _speaks_of(held: object, form: ParameterForm) -> bool:
    """Whether a list or object from a text holds parameters of a tool and nothing else."""
    listed: list[Any] = held if isinstance(held, list) else [held]
    return all(
        isinstance(one, dict) and one and all(_is_known(key, form) for key in one) for one in listed
    )


def _containers(value: Fields) -> dict[str, Any]:
    return {key: one for key, one in value.items() if isinstance(one, list | dict)}


def _payload(value: Fields, form: ParameterForm | None = None) -> str | None:
    """The key that holds the arguments of a call; None if they are next to its name."""
    keys = [key for key in ARGUMENT_KEYS if key in value]
    if form is not None:
        keys = [key for key in keys if key not in form.types or form.missing(value)]
        keys = [key for key in keys if not _is_taken(form, key, value)]
    return keys[0] if keys else None


def _is_taken(form: ParameterForm, key: str, value: Fields) -> bool:
    """Whether a key is a parameter that accepts its value unchanged."""
    return key in form.types and form.accepts(key, value[key])


def _joined(shared: _Shared, fields: Fields) -> tuple[_Shared, str | None]:
    """The shared fields with further ones, and the name of one that has two different values."""
    twice = next((key for key in fields if key in shared and shared[key] != fields[key]), None)
    return {**shared, **fields}, twice


def _is_known(key: str, form: ParameterForm) -> bool:
    """Whether a field is a parameter of the call, or an alias of one, even if it is given twice."""
    return key in form.types or form.alias(key, {}) is not None


def _words_of_one(name: str, form: ParameterForm) -> Misread:
    why = f"{name} may be several calls, or the words of one"
    return Misread(why, form=form, contradicts=True)


def _are_words(value: Any, form: ParameterForm) -> bool:
    """Whether a value may be the words of one command as well as several commands."""
    is_list = isinstance(value, list) and len(value) > 1
    return form.tool.kind in _COMMANDS and is_list and all(isinstance(one, str) for one in value)


def _may_be_words(key: str, value: Fields, form: ParameterForm) -> bool:
    """The same for a field: False if its name means several commands."""
    name = key if key in form.types else form.alias(key, value)
    if not _are_words(value[key], form) or (name is not None and form.accepts(name, value[key])):
        return False
    return key in ARGUMENT_KEYS if name is None else not key.endswith("s")


def _is_column(name: str, value: Any, form: ParameterForm) -> bool:
    """Whether a parameter for a single value has a list."""
    if name not in form.types or not isinstance(value, list) or not value:
        return False
    return not form.accepts(name, value) and "array" not in form.types[name]


def _cells(name: str, column: list[Any]) -> list[Any]:
    """The fields of each call, if a parameter for a single value has a list."""
    return [one if isinstance(one, list | dict) else {name: one} for one in column]


def _rows(value: Fields, columns: list[str], form: ParameterForm, shared: _Shared) -> list[Part]:
    """The calls of an object whose parameters are lists of equal length, one of them paths.

    Each call takes one value from each list.
    """
    lists: list[list[Any]] = [value[name] for name in columns]
    needed = set(columns) <= set(form.tool.required)
    paths = any(form.roles[name] & _PLACES for name in columns)
    if len({len(one) for one in lists}) > 1 or not needed or not paths or form.is_harmless:
        return [Misread("its lists can be combined in more than one way", form=form)]
    others = {key: one for key, one in value.items() if key not in columns}
    rows = ({**others, **dict(zip(columns, row, strict=True))} for row in zip(*lists, strict=True))
    return [_call(form, row, shared) for row in rows]


def _own_lists(value: Fields, form: ParameterForm) -> dict[str, list[Any] | dict[str, Any]]:
    """The only list that is a parameter of the tool, which may still be a list of calls."""
    lists = [key for key, one in value.items() if key in form.inner and isinstance(one, list)]
    return {lists[0]: value[lists[0]]} if len(lists) == 1 else {}


def _held(value: Fields, form: ParameterForm) -> dict[str, list[Any] | dict[str, Any]]:
    """The lists and objects in a call's fields that may hold calls themselves."""
    missing = form.missing(value)
    found = {key: _container(key, value, form, missing) for key in value}
    return {key: one for key, one in found.items() if one is not None}


def _container(
    key: str, value: Fields, form: ParameterForm, missing: Sequence[str]
) -> list[Any] | dict[str, Any] | None:
    """The list or object under a key that may hold calls; None if there is none."""
    one = value[key]
    if isinstance(one, str):
        return None if key in form.types else _in_text(key, value, form, missing)
    if not isinstance(one, list | dict):
        return None
    if key not in form.types:
        name = form.alias(key, value)
        is_text = name is not None and form.roles[name] & TEXT_ROLES and len(value) > 1
        return None if name is not None and (is_text or form.accepts(name, one)) else one
    if form.accepts(key, one) or form.roles[key] & TEXT_ROLES:
        return None
    return one if isinstance(one, list) or form.roles[key] & _PLACES else None


def _in_text(
    key: str, value: Fields, form: ParameterForm, missing: Sequence[str]
) -> list[Any] | dict[str, Any] | None:
    """The list or object that a text under an unknown key encodes.

    None if the text itself may be the value of a parameter.
    """
    name = form.alias(key, value)
    held = container_in(value[key])
    if name is None:
        rival = len(missing) == 1 and not form.is_harmless
        return None if rival else held
    # `queries` in place of `query` is a list. Texts to be replaced or written always stay texts.
    several = key.endswith("s") and not name.endswith("s") and not form.roles[name] & TEXT_ROLES
    return held if several and (isinstance(held, list) or form.roles[name] & _PLACES) else None
