"""One conversation in the form of each API that models and agents speak.

Scripted models and simulated agents speak chat completions, the form with which all of this
began; a class for each API turns their requests and answers into its own, and back.
"""

from __future__ import annotations

from collections.abc import Mapping

from batchwrap.lab.api_forms.api_form import ApiForm, Body, ScriptedAnswer, ScriptedCall
from batchwrap.lab.api_forms.chat_form import ChatForm
from batchwrap.lab.api_forms.messages_form import MessagesForm
from batchwrap.lab.api_forms.responses_form import ResponsesForm

__all__ = ["API_FORMS", "ApiForm", "ScriptedAnswer", "ScriptedCall", "as_chat"]

_CHAT, _MESSAGES, _RESPONSES = ChatForm(), MessagesForm(), ResponsesForm()
API_FORMS: Mapping[str, ApiForm] = {
    "chat": _CHAT,
    "messages": _MESSAGES,
    "responses": _RESPONSES,
}


def as_chat(request: Body) -> Body:
    """A request to any of the APIs as the chat completion that would say the same.

    So one scripted model answers all of them. A chat completion comes back as it went in.
    """
    others = (form for form in (_MESSAGES, _RESPONSES) if form.is_own(request))
    return next(others, _CHAT).as_chat(request)
