"""Thinking of the Messages API, which newer models sign for all that stands before it.

A block of it comes back as it is. If the system prompt, the tools or an earlier message have
changed since the model thought, it is refused, and so is all thinking behind it; what the model
thinks afterwards is signed for the conversation as it was sent then
(https://platform.claude.com/docs/en/build-with-claude/preserved-thinking/prefix-checks).
"""

from __future__ import annotations

from batchwrap.core.formats.messages import Body

_THINKING = frozenset({"thinking", "redacted_thinking"})
_REFUSED = "bound to a different conversation"
# What a client that wants to hear of it itself sets, and what it sets if it does not.
_CONTROLS, _BEHAVIOUR = "block_binding", "prefix_mismatch_behavior"
_DROPS = "drop_block"


def is_thinking(block: object) -> bool:
    """Whether a block holds thinking, in plain words or not."""
    return isinstance(block, dict) and block.get("type") in _THINKING


class ThinkingBinding:
    """Thinking that is signed for what stands before it."""

    def is_refused(self, answer: Body) -> bool:
        """Whether an error names thinking that belongs to another beginning."""
        error = answer.get("error")
        message = error.get("message") if isinstance(error, dict) else None
        return isinstance(message, str) and _REFUSED in message

    def unbound(self, body: Body) -> Body | None:
        """The request, of which the provider leaves out thinking that is signed for other words.

        None where the client has not sent the controls of the check, which are a beta, or has
        asked for the error.
        """
        asked = body.get("thinking")
        controls = asked.get(_CONTROLS) if isinstance(asked, dict) else None
        if not isinstance(asked, dict) or not isinstance(controls, dict):
            return None
        if controls.get(_BEHAVIOUR) is not None:
            return None
        return {**body, "thinking": {**asked, _CONTROLS: {**controls, _BEHAVIOUR: _DROPS}}}
