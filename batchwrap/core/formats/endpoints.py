"""The endpoints that limits hold back, as data: what of each counts, told in chat's form.

What has a format is translated between the two views. Of the others a request goes out and its
answer comes back as it is, but it waits for the limits, is tried again after a refusal, and is
settled with its own usage. For that an endpoint is a few names and a reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchwrap.core.formats import chat, messages, responses
from batchwrap.core.formats.api_errors import ErrorForm, anthropic_error, openai_error
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.chat.usage import usage_of
from batchwrap.core.formats.format import Format
from batchwrap.core.formats.messages.format import MESSAGES_FORMAT
from batchwrap.core.formats.responses.format import RESPONSES_FORMAT
from batchwrap.core.limits.cost import Usage

Told = Mapping[str, Any]

# A token is about four bytes: 3 % off on a measured mix of prose and code, and the usage that
# comes back corrects it. A tokenizer would take 0.5 ms for each 1,000 tokens of new texts.
_BYTES_A_TOKEN = 4
_ANTHROPICS = "anthropic-version"
# What is no text for the model: files and pictures, and thoughts that only the provider reads.
_NO_TEXT = frozenset({"data", "file_data", "image_url", "encrypted_content", "signature", "id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint.

    Attributes:
        name: what `Stats` and warnings call it.
        suffix: how its path ends.
        prompt: the fields of a request that hold the prompt.
        most: the field that caps the output; None: there is no output.
        usage: makes chat's usage object of this endpoint's; None: it has chat's.
        pooled: whether any account may take a request; where the provider keeps the state of
            a conversation, only the account that has it can go on (`Format.is_kept`).
        format: reads and writes what is sent there for the moves; None: nothing is translated.
        continued: reads and writes a request that continues a response by its id, which may hold
            calls of our view; None: it continues none.
        is_tokenized: whether its prompts are counted with a tokenizer; others roughly, by bytes.
        errors: puts errors of ours into the form of its API.
        opening: the types of the events that come before an answer and hold nothing of it. Chat
            has none: clients show with its first chunk that somebody answers.
    """

    name: str
    suffix: str
    prompt: Sequence[str] = ()
    most: str | None = "max_tokens"
    usage: Callable[[Told], Told] | None = None
    pooled: bool = True
    format: Format | None = None
    continued: Format | None = None
    is_tokenized: bool = False
    errors: ErrorForm = openai_error
    opening: Sequence[str] = ()

    @property
    def untranslated(self) -> Endpoint:
        """The same for a request that must not be rewritten: it is only held back by limits."""
        return replace(self, format=None, is_tokenized=False)

    @property
    def continuing(self) -> Endpoint:
        """The same for a request that continues what the provider keeps."""
        return replace(self.untranslated, continued=self.format)

    @property
    def translated(self) -> Endpoint:
        """The same for what a layer of batchwrap in front has translated already."""
        return replace(self.untranslated, name="translated")

    @property
    def unpooled(self) -> Endpoint:
        """The same for a request that only one account can take."""
        return replace(self, pooled=False)

    def opens(self, event: chat.Body) -> str | None:
        """The type of an event that comes before an answer; None for any other event."""
        kind = event.get("type")
        return kind if kind in self.opening else None

    def is_empty(self, event: chat.Body) -> bool:
        """Whether an event holds nothing of an answer but, maybe, its usage."""
        return not event.get("choices") if self.format is None else self.format.is_empty(event)

    def prompt_tokens(self, body: chat.Body) -> int:
        """Tokens of a request's prompt, roughly: those of all its texts."""
        given = [body.get(name) for name in (*self.prompt, "tools")]
        return sum(_bytes(given)) // _BYTES_A_TOKEN

    def output(self, body: chat.Body) -> chat.Body:
        """What a request says about the length of its answer, in chat's form."""
        if self.most is None:
            return {"max_tokens": 0}
        answers, prompts = body.get("n"), body.get("prompt")
        each = answers if isinstance(answers, int) else 1
        if isinstance(prompts, list) and not _are_numbers(prompts):
            each *= len(prompts)
        return {"max_tokens": body.get(self.most), "n": each}


def _bytes(given: object) -> Iterator[int]:
    """Bytes of all texts inside of anything, without recursion: it may be nested deeply."""
    waiting: list[Any] = [given]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield len(value.encode(errors="surrogatepass"))
        elif isinstance(value, list):
            if _are_numbers(value):  # a text as tokens
                yield _BYTES_A_TOKEN * len(value)
            else:
                waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(item for name, item in value.items() if name not in _NO_TEXT)


def _are_numbers(value: list[Any]) -> bool:
    return bool(value) and all(type(item) is int for item in value)


def _responses_usage(usage: Told) -> Told:
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
    }


def _messages_usage(usage: Told) -> Told:
    """Anthropic's `input_tokens` leave out what was read from the cache or written to it."""
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    parts = (usage.get("input_tokens"), read or 0, written or 0)
    return {
        "prompt_tokens": sum(parts) if all(isinstance(part, int) for part in parts) else None,
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": {"cached_tokens": read},
    }


def _embeddings_usage(usage: Told) -> Told:
    return {"prompt_tokens": usage.get("prompt_tokens"), "completion_tokens": 0}


CHAT = Endpoint(
    name="chat",
    suffix="/chat/completions",
    prompt=("messages",),
    format=CHAT_FORMAT,
    is_tokenized=True,
)

RESPONSES = Endpoint(
    name="responses",
    suffix="/responses",
    prompt=("instructions", "input"),
    most="max_output_tokens",
    usage=_responses_usage,
    format=RESPONSES_FORMAT,
    opening=("response.created", "response.queued", "response.in_progress"),
)

MESSAGES = Endpoint(
    name="messages",
    suffix="/v1/messages",  # the threads of OpenAI's assistants have messages, too
    prompt=("system", "messages"),
    usage=_messages_usage,
    format=MESSAGES_FORMAT,
    errors=anthropic_error,
    opening=("message_start", "ping"),
)

ENDPOINTS = (
    CHAT,
    RESPONSES,
    MESSAGES,
    Endpoint(name="completions", suffix="/completions", prompt=("prompt", "suffix")),
    Endpoint(
        name="embeddings",
        suffix="/embeddings",
        prompt=("input",),
        most=None,
        usage=_embeddings_usage,
    ),
)


# Where the tokens of a request are counted, and the endpoint that would take it.
_COUNTED = (("/v1/messages/count_tokens", "messages"), ("/responses/input_tokens", "responses"))


def endpoint_at(path: str) -> Endpoint | None:
    """The endpoint at a path; None: nothing that limits of tokens hold back."""
    return next((one for one in ENDPOINTS if path.endswith(one.suffix)), None)


def endpoint_of(body: Told) -> Endpoint | None:
    """The endpoint that takes a request of which the path is not known; None: nobody can tell."""
    if isinstance(body.get("messages"), list):
        return MESSAGES if messages.is_spoken(body) else CHAT
    return RESPONSES if responses.is_spoken(body) else None


def counted_at(path: str) -> Endpoint | None:
    """The endpoint whose requests are only counted at a path, before they are sent; else None."""
    name = next((name for suffix, name in _COUNTED if path.endswith(suffix)), None)
    return next((one for one in ENDPOINTS if one.name == name), None)


def errors_at(path: str, headers: Mapping[str, str]) -> ErrorForm:
    """The form that errors have for a request, to an endpoint or to any other path.

    Args:
        path: where it goes.
        headers: by name; every request to Anthropic's API names its version.
    """
    endpoint = endpoint_at(path)
    is_anthropics = _ANTHROPICS in headers
    return anthropic_error if is_anthropics else endpoint.errors if endpoint else openai_error


class Meter:
    """Reads the usage of one answer, whole or streamed.

    A stream may report it in parts (Anthropic: the prompt's at its beginning, the output's at
    its end), or several times; the last word on each part counts.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._in_chats_form = endpoint.usage
        self._told: dict[str, Any] = {}

    def __call__(self, answer: Told) -> Usage | None:
        """The usage with this answer or event; None: it does not tell, or not all of it."""
        if self._in_chats_form is None:
            return usage_of(answer)
        begun = self._add(answer.get("message"))
        if not (self._add(answer) or self._add(answer.get("response"))) or begun:
            return None
        return usage_of({"usage": self._in_chats_form(self._told)})

    def _add(self, place: object) -> bool:
        usage = place.get("usage") if isinstance(place, Mapping) else None
        if not isinstance(usage, dict):
            return False
        self._told |= {name: value for name, value in usage.items() if value is not None}
        return True
