"""Chat completions: the form that all others are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from batchwrap.lab.api_forms.api_form import (
    ApiForm,
    Body,
    Message,
    ScriptedAnswer,
    ScriptedCall,
    made_call,
)
from batchwrap.lab.validate import check


class ChatForm(ApiForm):
    """OpenAI's chat completions."""

    path = "/v1/chat/completions"

    def request(self, chat: Body) -> Body:
        """The request itself."""
        return chat

    def as_chat(self, request: Body) -> Body:
        """The request itself."""
        return request

    def message(self, answer: Body) -> Message:
        """The message of the first choice."""
        message: Message = answer["choices"][0]["message"]
        return message

    def fault_in(self, request: Body) -> str | None:
        """What OpenAI's server would refuse it for."""
        refused = check(request)
        return None if refused is None else orjson.dumps(refused.body).decode()

    def whole(self, said: ScriptedAnswer) -> Body:
        """A completion with one choice."""
        texts = ["".join(part) for part in said.parts if not isinstance(part, ScriptedCall)]
        calls = [
            made_call(part.call_id, part.name, part.arguments)
            for part in said.parts
            if isinstance(part, ScriptedCall)
        ]
        message: Message = {"role": "assistant", "content": "".join(texts) or None}
        message |= {"tool_calls": calls} if calls else {}
        choice = {"index": 0, "message": message, "finish_reason": self._reason(said)}
        return {**self._head(said, "chat.completion"), "choices": [choice], **self._usage(said)}

    def events(self, said: ScriptedAnswer) -> Iterator[Body]:
        """A chunk for each piece."""
        yield self._chunk(said, {"role": "assistant", "content": ""})
        index = -1
        for part in said.parts:
            if not isinstance(part, ScriptedCall):
                for piece in part:
                    yield self._chunk(said, {"content": piece})
                continue
            index += 1
            function: Any = {"name": part.name, "arguments": ""}
            head = {"index": index, "id": part.call_id, "type": "function", "function": function}
            yield self._chunk(said, {"tool_calls": [head]})
            for piece in part.pieces:
                call = {"index": index, "function": {"arguments": piece}}
                yield self._chunk(said, {"tool_calls": [call]})
        yield self._chunk(said, {}, self._reason(said))

    @staticmethod
    def _reason(said: ScriptedAnswer) -> str:
        return "tool_calls" if said.has_calls else "stop"

    @staticmethod
    def _head(said: ScriptedAnswer, kind: str) -> Body:
        return {"id": said.answer_id, "object": kind, "created": 0, "model": said.model}

    @staticmethod
    def _usage(said: ScriptedAnswer) -> Body:
        total = said.prompt + said.output
        counts = {"prompt_tokens": said.prompt, "completion_tokens": said.output}
        return {"usage": {**counts, "total_tokens": total}}

    def _chunk(self, said: ScriptedAnswer, delta: Body, finish: str | None = None) -> Body:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**self._head(said, "chat.completion.chunk"), "choices": [choice]}
