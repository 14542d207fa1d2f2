"""The search over meanings: from any JSON value to the calls that it means.

It walks down through whatever stands around the calls: lists, wrappers under any key, names of
tools as keys, JSON in texts. What a wrapper holds beside the list is shared by the items. The
tool is known from the start (a multi-tool of one kind), or is named on the way (a batch), or is
the only one whose schema fits. Texts that a tool takes as they are (what is replaced, what is
written) are never looked into: a file's contents cannot become calls.
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

# Wrappers around a call. A batch in a batch that is described as OpenAI's API does has seven.
_MOST_DEPTH = 16
# Tools that a call without a tool's name is held against.
_MOST_GUESSED = 64
# Fields of a call, or beside a list of them. Descriptions of anything else are longer.
_MOST_FIELDS = 64
_PLACES = frozenset({"path", "folder"})
# Kinds of tools that may run a command: `["rm", "-r", "x"]` is one, and not three.
_COMMANDS = ("barrier", "sequential")
# Name keys that say nothing else than which tool is called.
_SURE_NAMES = frozenset(NAME_KEYS[: NAME_KEYS.index("name")])


@dataclass(frozen=True, slots=True, repr=False)
class Meant:
    """A call that was meant.

    Attributes:
        tool: the agent's tool.
        arguments: as JSON text.
    """

    tool: SingleTool
    arguments: str


@dataclass(frozen=True, slots=True)
class Misread:
    """Something in the place of a call that means none, or more than one.

    Attributes:
        why: what is wrong with it, in words for the model.
        unknown: the tool that it names, where the agent has no such tool; else None.
        form: the tool that it was read for, if that is known.
        contradicts: whether it is a call of which only the meaning is not certain.
    """

    why: str
    unknown: str | None = None
    form: ParameterForm | None = None
    contradicts: bool = False


Part = Meant | Misread
_Shared = Mapping[str, Any]
_ALONE: _Shared = {}


def read(value: Any, toolbox: Toolbox, tool: SingleTool | None) -> list[Part]:
    """What the arguments of a multi-call mean, call by call, in order.

    Args:
        value: the arguments, any JSON value.
        toolbox: the agent's tools.
        tool: the tool of all the calls; None where each names its own.
    """
    search = _Search(toolbox)
    if isinstance(value, str):
        held = container_in(value)
        value = value if held is None else held
    target: Target = MIXED if tool is None else toolbox.form(tool)
    return search.value(value, target, _ALONE, 0)


class _Search:
    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    def value(self, value: Any, target: Target, shared: _Shared, depth: int) -> list[Part]:
        """The calls that a value means, for a tool, beside fields that it shares with others."""
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
        """What a text means: JSON of calls, or the one text that a tool takes."""
        held = container_in(text)
        inner = [] if held is None else self.value(held, target, shared, depth + 1)
        if not isinstance(target, ParameterForm):
            return inner or [Misread("it names no tool")]
        name = target.text_parameter(shared)
        if name is None:
            return inner or [Misread("a text is not enough", form=target)]
        if not all(isinstance(part, Meant) for part in inner) or not _speaks_of(held, target):
            inner = []
        if not inner:
            return [_call(target, {name: text}, shared)]
        if target.is_harmless:  # no path is the JSON of an object that names a path
            return inner
        return [Misread("it may be a text, or the JSON of a call", form=target, contradicts=True)]

    def _fields(
        self, value: Fields, form: ParameterForm, shared: _Shared, depth: int
    ) -> list[Part]:
        """What an object means for a tool that is known."""
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
        # Nothing in it is a call: it may be a field that the schema does not know.
        whole = _call(form, value, shared)
        contradicts = any(isinstance(part, Misread) and part.contradicts for part in parts)
        return [whole] if isinstance(whole, Meant) and not contradicts else parts

    def _without_names(self, value: Fields, form: ParameterForm) -> tuple[Fields, str | None]:
        """The fields without those that name the tool; the name, if it is another tool's."""
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
        """What an object means where nothing but itself can say for which tool."""
        function = value.get("function")
        if isinstance(function, dict):
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
        """Whether an object whose name is no tool's is a wrapper around calls that have names."""
        if not _SURE_NAMES.isdisjoint(named) or _payload(value) is not None:
            return False
        held = list(_containers(value).values())
        return bool(held) and all(
            isinstance(one, list) and all(map(self._names, one)) for one in held
        )

    def _names(self, value: object) -> bool:
        """Whether an object names a tool that there is."""
        if not isinstance(value, dict):
            return False
        function = value.get("function")
        fields = function if isinstance(function, dict) else value
        names = (fields[key] for key in NAME_KEYS if isinstance(fields.get(key), str))
        return any(self._toolbox.resolve(name) is not None for name in names)

    def _named(self, rest: Fields, target: Target, shared: _Shared, depth: int) -> list[Part]:
        """A call whose tool is named, without the name."""
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
            inner = held  # arguments are JSON in a text in OpenAI's API
        if not inner and not around:
            return [_call(target, {}, around)]
        return self.value(inner or dict(around), target, around if inner else _ALONE, depth + 1)

    def _unnamed(self, value: Fields, shared: _Shared, depth: int) -> list[Part]:
        """An object that names no tool by a field: by keys, by its shape, or in what it holds."""
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
        if len(own) > 1:  # what is written to a file may be an object, too
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
        """The call of the only tool whose schema an object fits; None if it fits none."""
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
        barrier = form.tool.kind == "barrier"
        return Misread("it names no tool") if barrier else made


def _call(form: ParameterForm, fields: Fields, shared: _Shared) -> Part:
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
    """Whether a list or object that stood in a text holds parameters of a tool, and no others."""
    listed: list[Any] = held if isinstance(held, list) else [held]
    return all(
        isinstance(one, dict) and one and all(_is_known(key, form) for key in one) for one in listed
    )


def _containers(value: Fields) -> dict[str, Any]:
    return {key: one for key, one in value.items() if isinstance(one, list | dict)}


def _payload(value: Fields, form: ParameterForm | None = None) -> str | None:
    """The key under which the arguments of a call stand; None where they stand beside its name."""
    keys = [key for key in ARGUMENT_KEYS if key in value]
    if form is not None:
        keys = [key for key in keys if key not in form.types or form.missing(value)]
        keys = [key for key in keys if not _is_taken(form, key, value)]
    return keys[0] if keys else None


def _is_taken(form: ParameterForm, key: str, value: Fields) -> bool:
    """Whether a key is a parameter that takes the value as it is."""
    return key in form.types and form.accepts(key, value[key])


def _joined(shared: _Shared, fields: Fields) -> tuple[_Shared, str | None]:
    """Shared fields with more of them, and one that is in both with two values, if any."""
    twice = next((key for key in fields if key in shared and shared[key] != fields[key]), None)
    return {**shared, **fields}, twice


def _is_known(key: str, form: ParameterForm) -> bool:
    """Whether a field says something of the call, be it for the second time."""
    return key in form.types or form.alias(key, {}) is not None


def _words_of_one(name: str, form: ParameterForm) -> Misread:
    why = f"{name} may be several calls, or the words of one"
    return Misread(why, form=form, contradicts=True)


def _are_words(value: Any, form: ParameterForm) -> bool:
    """Whether a value may be a command with its arguments, as well as several commands."""
    is_list = isinstance(value, list) and len(value) > 1
    return form.tool.kind in _COMMANDS and is_list and all(isinstance(one, str) for one in value)


def _may_be_words(key: str, value: Fields, form: ParameterForm) -> bool:
    """Whether that holds for a field: not under a name that speaks of several."""
    name = key if key in form.types else form.alias(key, value)
    if not _are_words(value[key], form) or (name is not None and form.accepts(name, value[key])):
        return False
    return key in ARGUMENT_KEYS if name is None else not key.endswith("s")


def _is_column(name: str, value: Any, form: ParameterForm) -> bool:
    """Whether a list stands where the schema wants one value."""
    if name not in form.types or not isinstance(value, list) or not value:
        return False
    return not form.accepts(name, value) and "array" not in form.types[name]


def _cells(name: str, column: list[Any]) -> list[Any]:
    """The fields of each call, of a list that stands in place of one value."""
    return [one if isinstance(one, list | dict) else {name: one} for one in column]


def _rows(value: Fields, columns: list[str], form: ParameterForm, shared: _Shared) -> list[Part]:
    """Calls whose fields stand in lists of one length, one of them the paths."""
    lists: list[list[Any]] = [value[name] for name in columns]
    needed = set(columns) <= set(form.tool.required)
    paths = any(form.roles[name] & _PLACES for name in columns)
    if len({len(one) for one in lists}) > 1 or not needed or not paths or form.is_harmless:
        return [Misread("its lists may belong together in more ways than one", form=form)]
    others = {key: one for key, one in value.items() if key not in columns}
    rows = ({**others, **dict(zip(columns, row, strict=True))} for row in zip(*lists, strict=True))
    return [_call(form, row, shared) for row in rows]


def _own_lists(value: Fields, form: ParameterForm) -> dict[str, list[Any] | dict[str, Any]]:
    """A list that is a parameter of the tool, and may be the list of calls all the same."""
    lists = [key for key, one in value.items() if key in form.inner and isinstance(one, list)]
    return {lists[0]: value[lists[0]]} if len(lists) == 1 else {}


def _held(value: Fields, form: ParameterForm) -> dict[str, list[Any] | dict[str, Any]]:
    """The lists and objects of a call's fields that may hold calls themselves."""
    missing = form.missing(value)
    found = {key: _container(key, value, form, missing) for key in value}
    return {key: one for key, one in found.items() if one is not None}


def _container(
    key: str, value: Fields, form: ParameterForm, missing: Sequence[str]
) -> list[Any] | dict[str, Any] | None:
    """The list or object under a key that may hold calls; None where there is none."""
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
    """The list that a text under an unknown key holds, unless the text itself may be meant."""
    name = form.alias(key, value)
    held = container_in(value[key])
    if name is None:
        rival = len(missing) == 1 and not form.is_harmless
        return None if rival else held
    # `queries` in place of `query` is a list; what is replaced or written is always a text.
    several = key.endswith("s") and not name.endswith("s") and not form.roles[name] & TEXT_ROLES
    return held if several and (isinstance(held, list) or form.roles[name] & _PLACES) else None
