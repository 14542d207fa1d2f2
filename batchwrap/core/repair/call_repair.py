"""Repairs the tool calls of one message: index, id, name and arguments.

Calls and fragments that need no repair are returned as the same objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.format import Take
from batchwrap.core.repair.arguments import Repaired, repair_arguments
from batchwrap.core.repair.declared_tools import DeclaredTools
from batchwrap.core.repair.faults import TRUNCATED, Broken, malformed_call
from batchwrap.core.repair.open_calls import OpenCall, OpenCalls
from batchwrap.core.repair.repair_counts import RepairCounts
from batchwrap.options import Repair

# Nine alphanumerics: Mistral refuses every other form of an id, and no provider refuses this one.
# https://github.com/anomalyco/opencode/issues/1680
ID_LENGTH = 9
_NO_NAME = re.compile(r"[\"'{}\[\]\s]")


class CallRepair:
    """Repairs the calls of one choice.

    Args:
        options: what to repair.
        tools: what may be called.
        random_text: returns that many random characters of ``[A-Za-z0-9]``.
        ledger: where repairs are counted.
    """

    def __init__(
        self,
        options: Repair,
        tools: DeclaredTools,
        random_text: Callable[[int], str],
        ledger: RepairCounts,
    ) -> None:
        self._options = options
        self._tools = tools
        self._random_text = random_text
        self._ledger = ledger
        self._open = OpenCalls(options, tools)
        self._ids: set[str] = set()
        self.has_called = False
        self._waits: OpenCall | None = None
        self._may_wait = False
        self.is_cut = False

    def plain(self, calls: Sequence[chat.ToolCall]) -> list[chat.ToolCall]:
        """The calls of a complete message."""
        self.has_called |= bool(calls)
        return [self._complete_call(call) for call in calls]

    def delta(self, calls: Sequence[chat.ToolCall], *, may_wait: bool) -> list[chat.ToolCall]:
        """The fragments to hand on for the fragments of one delta.

        Args:
            calls: the fragments.
            may_wait: whether the whole delta can be held until the next one. `is_waiting` then
                says whether it is held, because it may turn out to be healthy.

        Raises:
            Broken: a fragment could belong to more than one call.
        """
        self.has_called |= bool(calls)
        self._open.deltas += 1
        self._may_wait = may_wait and len(calls) == 1
        made = [self._fragment(call, place) for place, call in enumerate(calls)]
        return [call for call in made if call is not None]

    def take_of(self, index: int) -> Take | None:
        """The function that adds the next piece of a call's arguments.

        Returns:
            None if the chunk must be read in full.
        """
        call = self._open.given.get(index)
        if call is None or call.index != index or call.opening is not None or not call.name:
            return None
        if self._waits is not None:
            return None
        self._open.last = call
        return call.arguments.take

    @property
    def is_waiting(self) -> bool:
        """Whether the last delta is held until the next one arrives."""
        return self._waits is not None

    def mark_sent(self) -> None:
        """Record that the delta that was held goes out."""
        if self._waits is not None:
            self._waits.arguments.mark_sent()
            self._waits = None

    def finish(self) -> list[chat.ToolCall]:
        """What is left to hand on when the message is complete.

        Raises:
            Broken: the fragments of a call do not form a call.
        """
        calls, self._open = self._open.calls, OpenCalls(self._options, self._tools)
        return [rest for call in calls for rest in self._rest(call)]

    @property
    def unfinished(self) -> bool:
        """Whether a streamed call is incomplete."""
        return any(self._is_cut(call) for call in self._open.calls)

    def _complete_call(self, call: chat.ToolCall) -> chat.ToolCall:
        if self._options.arguments != "off":
            call = _with_arguments_named(call)
        call = self._with_text(call)
        name = self._tools.resolve_name(chat.name_of(call)) if self._options.calls else ""
        if name and name != chat.name_of(call):
            self._ledger.repaired("call_name")
            call = _changed(call, name=name)
        call = self._with_id(call)
        function = chat.function_of(call)
        text, name = function.get("arguments"), chat.name_of(call)
        if not isinstance(text, str | None) or self._options.arguments == "off":
            return call
        if not text and not self._tools.takes_nothing(name):  # the tool itself will refuse it
            return call
        made = repair_arguments(
            text or "", self._tools.parameters(name), **self._repair_options(name)
        )
        self._record_outcome(made, name)
        return _changed(call, arguments=made.text) if made.changed else call

    def _fragment(self, given: chat.ToolCall, place: int) -> chat.ToolCall | None:
        """A fragment as it goes out; None if it is held back."""
        if not isinstance(given.get("index", 0), int | None):  # a shape that nobody knows
            return given
        fragment = self._with_text(given)
        name = chat.function_of(fragment).get("name")
        opens = isinstance(name, str) and bool(name)
        call, is_new = self._open.of(fragment, place, opens=opens)
        self._open.last, call.place = call, (self._open.deltas, place)
        fragment = (self._opened if is_new else self._continued)(call, fragment)
        if self._options.calls and chat.index_of(fragment) != call.index:
            self._ledger.repaired("call_index")
            fragment = {**fragment, "index": call.index}
        return self._with_arguments(call, fragment)

    def _is_cut(self, call: OpenCall) -> bool:
        """Whether a call breaks off. Its structure decides: routers rewrite the finish reason."""
        text = call.arguments.text
        if not text.strip():
            return call.name in self._tools and not self._tools.takes_nothing(call.name)
        options = self._repair_options(call.name)
        return repair_arguments(text, None, **options).refused == "truncated"

    def _opened(self, call: OpenCall, fragment: chat.ToolCall) -> chat.ToolCall:
        """The first fragment of a call, with a unique id and the name of a declared tool."""
        if call.name:
            fragment = self._with_id(fragment)
        call.id = str(fragment.get("id") or "")
        if not self._options.calls:
            return fragment
        meant = self._tools.resolve_name(call.name)
        if meant != call.name:
            self._ledger.repaired("call_name")
            call.name, fragment = meant, _changed(fragment, name=meant)
        elif call.name and (self._tools.may_grow(call.name) or _NO_NAME.search(call.name)):
            call.opening = fragment  # held: the next fragment may contain the rest of the name
        return fragment

    def _continued(self, call: OpenCall, fragment: chat.ToolCall) -> chat.ToolCall:
        """A later fragment, without an id and a name that an earlier one has given.

        Clients append what each delta holds: a repeated name becomes ``read_fileread_file``.
        https://github.com/SillyTavern/SillyTavern/pull/5811
        """
        function = chat.function_of(fragment)
        said = str(function.get("name") or "")
        if call.opening is not None:
            return self._with_opening(call, fragment, said)
        if not call.name:
            return self._opened_late(call, fragment, said) if said else fragment
        if self._options.calls and function.get("name") is not None:
            self._ledger.repaired("call_name")
            rest = {key: value for key, value in function.items() if key != "name"}
            fragment = {**fragment, "function": rest}
        if self._options.calls and fragment.get("id") is not None:
            self._ledger.repaired("call_id")
            fragment = {key: value for key, value in fragment.items() if key != "id"}
        return fragment

    def _opened_late(self, call: OpenCall, fragment: chat.ToolCall, name: str) -> chat.ToolCall:
        """A call whose name arrives after its first fragment."""
        call.name = self._tools.resolve_name(name) if self._options.calls else name
        if not call.id:
            fragment = self._with_id(fragment)
            call.id = str(fragment.get("id") or "")
        return fragment if call.name == name else _changed(fragment, name=call.name)

    def _with_opening(self, call: OpenCall, fragment: chat.ToolCall, said: str) -> chat.ToolCall:
        """The fragment joined to the opening that waited for the rest of its name."""
        assert call.opening is not None
        # Providers send either the whole name again, or only the rest of it.
        grown = [name for name in (said, call.name + said) if name.startswith(call.name)]
        meant = map(self._tools.resolve_name, grown)
        found = next((name for name in meant if name in self._tools), None)
        if found is None and _NO_NAME.search(call.name):
            return fragment
        self._ledger.repaired("call_name")
        call.name = found or call.name
        opening, call.opening = call.opening, None
        text = str(chat.function_of(fragment).get("arguments") or "")
        before = call.arguments.text
        call.arguments = self._open.stream_for(call.name)
        return _changed(opening, name=call.name, arguments=before + text)

    def _with_arguments(self, call: OpenCall, fragment: chat.ToolCall) -> chat.ToolCall | None:
        text = chat.function_of(fragment).get("arguments")
        if call.opening is not None:
            call.arguments.keep(text if isinstance(text, str) else "")
            return None
        if not isinstance(text, str) or not text:
            return fragment
        if self._waits is not call:  # a fragment of another call: the held one was healthy
            self.mark_sent()
        self._waits = None
        if call.arguments.feed(text):
            return fragment
        if call.arguments.may_be_healthy:
            if self._may_wait:
                self._waits = call
                return None
            call.arguments.mark_sent()
            return fragment
        opens = chat.function_of(fragment).get("name") or fragment.get("id")
        return _changed(fragment, arguments="") if opens else None

    def _rest(self, call: OpenCall) -> list[chat.ToolCall]:
        """The last fragments of a call."""
        stream, name = call.arguments, call.name
        if call.opening is not None:
            if _NO_NAME.search(name):
                raise Broken(malformed_call("same_request_non_stream"))
            return [_changed(call.opening, arguments=stream.text)]
        if self._options.arguments == "off" and stream.handed_on == len(stream):
            return []
        if not len(stream) and not self._tools.takes_nothing(name):
            self.is_cut |= bool(name)
            return []
        rest, made = stream.finish(self._tools.parameters(name), **self._repair_options(name))
        if stream.was_repeated:
            self._ledger.repaired("snapshots")
        else:
            self._record_outcome(made, name)
        return [{"index": call.index, "function": {"arguments": rest}}] if rest else []

    def _record_outcome(self, made: Repaired, name: str) -> None:
        if made.changed:
            self._ledger.repaired("arguments")
        elif made.refused == "truncated":
            self.is_cut = True
            self._ledger.defect(TRUNCATED.kind, retry=TRUNCATED.retry)
        elif made.refused and not (made.refused == "not_an_object" and self._tools.is_ours(name)):
            self._ledger.defect("bad_arguments", reason=made.refused, retry="ask_model_again")

    def _repair_options(self, name: str) -> dict[str, bool]:
        bold = self._options.arguments == "bold"
        return {"dangerous": self._tools.is_dangerous(name), "bold": bold}

    def _with_text(self, call: chat.ToolCall) -> chat.ToolCall:
        """Arguments that came as an object become JSON text, and null becomes an empty text.

        Clients append arguments to a text or parse them as JSON, and both fail on other types.
        https://github.com/ggml-org/llama.cpp/issues/20198
        """
        arguments = chat.function_of(call).get("arguments", "")
        if not isinstance(arguments, dict | None) or self._options.arguments == "off":
            return call
        self._ledger.repaired("arguments")
        text = (
            json.dumps(arguments, ensure_ascii=False, default=str) if arguments is not None else ""
        )
        return _changed(call, arguments=text)

    def _with_id(self, call: chat.ToolCall) -> chat.ToolCall:
        """The call with an id that no other call of the message has.

        Some servers give one id to parallel calls.
        https://github.com/open-webui/open-webui/issues/28570
        """
        given = call.get("id")
        if self._options.calls and (not given or str(given) in self._ids):
            self._ledger.repaired("call_id")
            call = {**call, "id": self._random_text(ID_LENGTH)}
        elif self._options.calls and not isinstance(given, str):
            self._ledger.repaired("call_id")
            call = {**call, "id": str(given)}
        self._ids.add(str(call.get("id")))
        return call


def _with_arguments_named(call: chat.ToolCall) -> chat.ToolCall:
    """A complete call without a field for arguments gets null for it."""
    function = chat.function_of(call)
    return _changed(call, arguments=None) if function and "arguments" not in function else call


def _changed(call: chat.ToolCall, **fields: Any) -> chat.ToolCall:
    """A copy with other fields in its function."""
    return {**call, "function": {**chat.function_of(call), **fields}}
