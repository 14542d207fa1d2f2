"""One conversation in the form of each API that models and agents speak.

Scripted models and simulated agents speak chat completions, the form with which all of this
began; a class for each API turns their requests and answers into its own, and back.
"""

from __future__ import annotations

from collections.abc import Mapping

from batchwrap.lab.api_forms.api_form import ApiForm, ScriptedAnswer, ScriptedCall
from batchwrap.lab.api_forms.chat_form import ChatForm
from batchwrap.lab.api_forms.messages_form import MessagesForm
from batchwrap.lab.api_forms.responses_form import ResponsesForm

__all__ = ["API_FORMS", "ApiForm", "ScriptedAnswer", "ScriptedCall"]

API_FORMS: Mapping[str, ApiForm] = {
    "chat": ChatForm(),
    "messages": MessagesForm(),
    "responses": ResponsesForm(),
}
