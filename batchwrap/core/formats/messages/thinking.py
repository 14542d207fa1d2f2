"""Thinking blocks of the Messages API. Newer models sign each one for everything before it.

Clients send thinking blocks back unchanged. If the system prompt, the tools or an earlier message
have changed since, the provider refuses the block and all later thinking. New thinking is signed
for the conversation as it was sent then.
https://platform.claude.com/docs/en/build-with-claude/preserved-thinking/prefix-checks
"""

from __future__ import annotations

from batchwrap.core.formats.messages import Body

_THINKING = frozenset({"thinking", "redacted_thinking"})
_REFUSED = "bound to a different conversation"
# The setting of a client that uses the beta for these checks, the field that says what happens to
# invalid thinking (an error by default), and the value by which it is dropped.
_CONTROLS, _BEHAVIOUR = "block_binding", "prefix_mismatch_behavior"
_DROPS = "drop_block"


def is_thinking(block: object) -> bool:
    """Whether a block holds thinking, readable or redacted."""
    return isinstance(block, dict) and block.get("type") in _THINKING


class ThinkingBinding:
    """Handles thinking that is signed for everything before it."""

    def is_refused(self, answer: Body) -> bool:
        """Whether an error says that thinking belongs to another conversation."""
        error = answer.get("error")
        message = error.get("message") if isinstance(error, dict) else None
        return isinstance(message, str) and _REFUSED in message

    def unbound(self, body: Body) -> Body | None:
        """The request with the setting by which the provider drops thinking that is not valid.

        Returns:
            None if the client does not use the beta for these checks, or has chosen what happens.
        """
        asked = body.get("thinking")
        controls = asked.get(_CONTROLS) if isinstance(asked, dict) else None
        if not isinstance(asked, dict) or not isinstance(controls, dict):
            return None
        if controls.get(_BEHAVIOUR) is not None:
            return None
        return {**body, "thinking": {**asked, _CONTROLS: {**controls, _BEHAVIOUR: _DROPS}}}
