"""The repair of one exchange's request and answer.

It binds `core/repair`, which knows no exchange, to the exchange's memory, options and metrics. The
repair of an answer is created when the answer comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.fast_path import as_it_came
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.exchange.provider_view import Asked, ProviderView
from batchwrap.core.failures import looks_failed
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat
from batchwrap.core.formats.chat.calls import read_call
from batchwrap.core.formats.chat.usage import usage_of
from batchwrap.core.formats.format import Body, Place, Take
from batchwrap.core.formats.sameness import Conversation, Prefixes
from batchwrap.core.moves.cap import tokens_in
from batchwrap.core.repair import diagnosis, faults
from batchwrap.core.repair.answer_forms import chunks_in, joined, parts_in
from batchwrap.core.repair.answer_repair import AnswerContext, AnswerRepair
from batchwrap.core.repair.declared_tools import DeclaredTools
from batchwrap.core.repair.faults import EMPTY, Broken, error_in
from batchwrap.core.repair.reasoning_content import ReasoningContent, reasoning_key
from batchwrap.core.repair.repair_counts import RepairCounts
from batchwrap.core.repair.request.request_repair import asked_output, repair_request
from batchwrap.errors import ContextLimitExceeded

# Our count is at most a few per cent too high for models whose vocabulary is not known.
_SURELY = 1.1
# Agents for providers that charge the output in advance cap it at this many tokens.
_LARGE_OUTPUT = 16_384


class ResponseRepair:
    """Repairs the answer of one exchange.

    Args:
        context: what the translator has; its options say what to repair.
        asked: the agent's request.
        is_understood: whether its conversation was understood, so that it can be measured.

    Attributes:
        view: the request in the provider view, as it was sent.
    """

    def __init__(self, context: Context, asked: Asked, *, is_understood: bool) -> None:
        self._is_understood = is_understood
        self._context = context
        self._asked = asked
        self._body = asked.body
        self._ledger = RepairCounts(context.metrics)
        self._repair: AnswerRepair | None = None
        self._thoughts: ReasoningContent | None = None
        self._sent: Prefixes | None = None  # where thoughts are kept
        self.view = ProviderView()

    def mended(self, body: Body) -> Body:
        """The request in a form that its provider accepts; the same object if unchanged."""
        options = self._context.options.repair
        if options is None:
            return body
        rules = self._context.rules or self._context.provider.requests
        if options.keep_reasoning and rules.reasoning == "want":
            self._thoughts = ReasoningContent()
            form = self._asked.form
            self._sent = Prefixes(form.read(form.items(body)), 0, Conversation())
        batching = self._context.options.batching
        failed = batching.failed if batching is not None else None
        made = repair_request(
            body,
            rules,
            options,
            self._ledger.repaired,
            recall=self._recall,
            failed=failed or looks_failed,
            checked=self.view.checked,
        )
        most = asked_output(made)
        if rules.reserves_output and isinstance(most, int) and most > _LARGE_OUTPUT:
            self._ledger.defect("large_output_budget", requested=most, limit=_LARGE_OUTPUT)
        return made

    def again(self, body: Body) -> Body:
        """The request that asks again, repaired; it prepares for another answer."""
        self._repair = None
        return self.mended(body)

    def _recall(self, place: int, call: chat.ToolCall) -> str | None:
        """The reasoning content of a turn that the agent has dropped; None if it is lost.

        The key is made from the conversation before the turn, so no other conversation finds it.
        """
        if self._sent is None:
            return None
        key = reasoning_key(self._sent.before(place), read_call(call))
        kept = self._context.memory.thoughts.get(key, self._context.now_s)
        if kept is None:
            self._ledger.defect("lost_thoughts")
        return kept

    def _keep_thoughts(self, *bodies: Body) -> None:
        """Remember the reasoning content of turns with calls, if the provider requires it."""
        if self._thoughts is None or self._sent is None:
            return
        for body in bodies:
            self._thoughts.see(body)
            # Readers may stop at the finish reason, so the end of the stream comes too late.
            if self._thoughts.is_over(body):
                whole = self._sent.before(len(self._sent))
                for call, thoughts in self._thoughts.by_call():
                    key = reasoning_key(whole, call)
                    self._context.memory.thoughts.put(key, thoughts, self._context.now_s)

    def check_size(self, tokens: int) -> None:
        """Report a prompt of this many tokens if it is larger than the model's context.

        Raises:
            ContextLimitExceeded: the options say that such a prompt is not sent.
        """
        options, window = self._context.options.repair, window_of(self._context)
        if options is None or window is None or not self.measures or tokens <= window * _SURELY:
            return
        self._ledger.defect("context_overflow", requested=tokens, limit=window)
        if options.preflight == "refuse":
            raise ContextLimitExceeded(requested=tokens, limit=window)

    @property
    def measures(self) -> bool:
        """Whether the size of the request is checked against the model's context."""
        options = self._context.options.repair
        off = options is None or options.preflight == "off" or not self._is_understood
        return not off and window_of(self._context) is not None

    def whole(self, completion: Body) -> Body:
        """The repaired completion; the same object if it is healthy.

        Raises:
            Broken: the completion cannot be used.
        """
        repair = self._of()
        if repair is None:
            return completion
        try:
            whole = repair.completion(completion)
        except Broken as broken:
            if broken.fault is EMPTY:
                self._forgive()
            raise
        self._note_overflow(whole)
        self._keep_thoughts(whole)
        return whole

    def chunk(self, chunk: Body) -> list[Body] | None:
        """The chunks to hand on for one that came; None for the chunk itself."""
        repair = self._of()
        made = None if repair is None else repair.chunk(chunk)
        self._keep_thoughts(*([chunk] if made is None else made))
        if made and faults.is_empty_answer(made[-1]):
            self._forgive()
        return made

    def take_of(self, index: int, place: Place) -> Take | None:
        """The function that takes the next pieces of a text, or of a call's arguments.

        Args:
            index: the index of the choice.
            place: the text, or the call.

        Returns:
            The function; None if whole chunks must be read.
        """
        if self._thoughts is not None:
            return None
        return as_it_came if self._repair is None else self._repair.take_of(index, place)

    def lost(self, fault: faults.Fault) -> list[Body]:
        """The chunks to hand on for an unreadable event of a stream."""
        repair = self._of()
        return [] if repair is None else repair.lost(fault)

    def end(self, *, marked: bool | None) -> list[Body]:
        """The chunks to hand on at the end of a stream."""
        # A stream without any chunk has no repair yet, and must still become an error.
        if self._repair is None and self._context.options.repair is not None and marked is False:
            self._of()
        return [] if self._repair is None else self._repair.end(marked=marked)

    def read(self, content: bytes, *, accepted: bool) -> WholeBody:
        """Decode a body, in whatever form it came.

        Args:
            content: the body.
            accepted: whether the status is a success. If so, a completion may be put together
                from other forms; if not, it may be contained in the error.
        """
        try:
            read = self._read(content, accepted=accepted)
        except Broken as broken:
            return WholeBody(None, fault=broken.fault)
        rebuilt = None if accepted else self.rebuilt(read.completion)
        if rebuilt is None:
            return read
        self._ledger.repaired("refused_calls")
        return WholeBody(rebuilt, is_rebuilt=True, is_withheld=True)

    def _read(self, content: bytes, *, accepted: bool) -> WholeBody:
        value = diagnosis.decoded(content)
        if not accepted and isinstance(value, list) and len(value) == 1:
            value = value[0]  # Gemini sends an error as a list of one
        if isinstance(value, dict):
            return WholeBody(value, is_rebuilt=not content.lstrip().startswith(b"{"))
        options = self._context.options.repair
        if options is None or not accepted:
            return WholeBody(None, value)
        if isinstance(value, str) and value.startswith("<") and options.errors:
            self._ledger.defect(faults.NO_ANSWER.kind, **faults.NO_ANSWER.facts)
            raise Broken(faults.NO_ANSWER)
        made = self._put_together(value, content) if options.stream else None
        return WholeBody(made, value, is_rebuilt=made is not None)

    def _put_together(self, value: object, content: bytes) -> Body | None:
        # An answer that is not one object may be a list of chunks, or the text of a whole stream.
        parts = parts_in(value)
        if not parts and isinstance(value, str):
            chunks, repair = chunks_in(content), self._of()
            for chunk in chunks if repair is not None else ():
                assert repair is not None
                made = repair.chunk(chunk)
                parts += [chunk] if made is None else made
            if repair is not None and chunks:
                parts += repair.end(marked=b"[DONE]" in content)
                self._repair = None
        if not parts:
            return None
        error = faults.error_in(parts[-1])
        if error is not None:
            raise Broken(diagnosis.read_fault(error, 502))
        self._ledger.repaired("whole_answers")
        return joined(parts)

    def refusal(self, status: int, headers: Mapping[str, str], body: object) -> faults.Fault | None:
        """The fault behind an error status; None if errors are not repaired."""
        options = self._context.options.repair
        if options is None or not options.errors:
            return None
        window = window_of(self._context)
        used = sum(map(tokens_in, self._asked.entries))
        fault = diagnosis.read_refused(
            status,
            body,
            headers,
            undeclared=_calls_undeclared(self._asked),
            fills=used / window if window else None,
        )
        self._ledger.defect(fault.kind, **fault.facts)
        return fault

    def rebuilt(self, body: Body | None) -> Body | None:
        """The completion inside an error, if it holds a call that may be handed out."""
        error, repair = error_in(body or {}), self._of()
        return None if error is None or repair is None else repair.rebuilt(error)

    @property
    def is_over(self) -> bool:
        """Whether the answer has ended in an error."""
        return self._repair is not None and self._repair.is_over

    def _of(self) -> AnswerRepair | None:
        options, context = self._context.options.repair, self._context
        if self._repair is None and options is not None:
            tools = self._tools()
            asked = AnswerContext(body=self._body, tools=tools, may_be_empty=self._is_forgiven())
            self._repair = AnswerRepair(options, asked, context.random_text, self._ledger)
        return self._repair

    def _tools(self) -> DeclaredTools:
        """The tools that may be called: those of the provider view and the agent's own."""
        out = self.view
        offered = self._asked.form.tool_items(out.body) if out.body is not None else None
        known, harmless = out.tool_set.known, out.tool_set.harmless
        return DeclaredTools(offered, self._asked.tools, made_up=known, harmless=harmless)

    def _forgive(self) -> None:
        """Remember an empty answer: if the same request comes again, it is no error any more.

        Otherwise an agent that retries the request would get the error for ever.
        """
        self._context.memory.empties.put(self._digest(), True, self._context.now_s)

    def _is_forgiven(self) -> bool:
        empties = self._context.memory.empties
        return bool(empties) and empties.get(self._digest(), self._context.now_s) is not None

    def _digest(self) -> bytes:
        return blake2b(fingerprint(self._body), digest_size=16).digest()

    def _note_overflow(self, completion: Body) -> None:
        """Report a prompt above the context's size, which some servers truncate silently."""
        window = window_of(self._context)
        usage = None if window is None else usage_of(completion)
        if usage is not None and window is not None and usage.prompt_tokens > window:
            self._ledger.defect(
                "context_overflow_silent", requested=usage.prompt_tokens, limit=window
            )


def window_of(context: Context) -> int | None:
    """The size of the model's context in tokens; None if unknown."""
    batching = context.options.batching
    return (batching.context_tokens if batching else None) or context.provider.context_tokens


def _calls_undeclared(asked: Asked) -> bool:
    """Whether the history calls a tool that the request does not declare."""
    declared = {tool.name for tool in asked.form.tools(asked.tools)}
    return any(call.function not in declared for entry in asked.entries for call in entry.calls)
