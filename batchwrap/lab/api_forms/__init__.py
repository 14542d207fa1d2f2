"""One conversation in the form of each API that models and agents speak.

Scripted models and simulated agents speak chat completions, the form with which all of this
began; a class for each API turns their requests and answers into its own, and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchwrap.lab.api_forms.api_form import ApiForm, Said, SaidCall
from batchwrap.lab.api_forms.chat_form import ChatForm
from batchwrap.lab.api_forms.messages_form import MessagesForm
from batchwrap.lab.api_forms.responses_form import ResponsesForm

__all__ = ["API_FORMS", "ApiForm", "Said", "SaidCall", "as_chat"]

API_FORMS: Mapping[str, ApiForm] = {
    "chat": ChatForm(),
    "messages": MessagesForm(),
    "responses": ResponsesForm(),
}


def as_chat(request: dict[str, Any]) -> dict[str, Any]:
    """A request of any of the APIs as one for a chat completion."""
    form = next((form for form in API_FORMS.values() if form.is_own(request)), None)
    return request if form is None else form.as_chat(request)
