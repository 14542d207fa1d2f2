"""The endpoints that are throttled, as data: where each has its prompt, output limit and usage.

A request to an endpoint with a format is translated between the two views. All other requests and
answers pass unchanged, but they wait for the limits, are retried after a refusal, and are settled
with their own usage. Output limits and usages are given in the form of chat completions, which the
limiter reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchwrap.core.formats import chat, messages, responses
from batchwrap.core.formats.api_errors import ErrorForm, anthropic_error, openai_error
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.chat.usage import counted, is_impossible, reported
from batchwrap.core.formats.format import Format
from batchwrap.core.formats.messages.format import MESSAGES_FORMAT
from batchwrap.core.formats.model_paths import bedrock_model, vertex_model
from batchwrap.core.formats.responses.format import RESPONSES_FORMAT
from batchwrap.core.limits.cost import Usage

Fields = Mapping[str, Any]

# A token is about four bytes. On a measured mix of prose and code that is 3 % off, and the reported
# usage corrects it. A tokenizer would need 0.5 ms for each 1,000 tokens of new text.
_BYTES_A_TOKEN = 4
# Every request to Anthropic's API has this header.
_ANTHROPIC_HEADER = "anthropic-version"
# Fields that hold no text for the model: files, pictures, and reasoning that only the provider can
# read.
_NO_TEXT = frozenset({"data", "file_data", "image_url", "encrypted_content", "signature", "id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint.

    Attributes:
        name: its name in `Stats` and warnings.
        suffix: the end of its path.
        prompt: the fields of a request that hold the prompt.
        most: the field that limits the output; None if there is no output.
        usage: converts a usage to the form of chat completions; None if it has that form.
        pooled: whether any of several accounts may send a request. If the provider stores the state
            of a conversation, only the account that has it can continue (`Format.is_kept`).
        format: translates requests and answers; None if nothing is translated.
        continued: the format of a request that continues a stored response by its id, which may
            hold calls of the provider view; None for all other requests.
        is_tokenized: whether its prompts are counted with a tokenizer. Others are estimated by
            their bytes.
        errors: writes batchwrap's own errors in the form of its API.
        opening: the types of the events that precede an answer and hold nothing of it. Chat
            completions have none: with the first chunk clients show that the model answers.
        model: the model, if the path names it and the body must not.
        inactive: a warning for users who expect more than limits; empty if nobody does.
    """

    name: str
    suffix: str
    prompt: Sequence[str] = ()
    most: str | None = "max_tokens"
    usage: Callable[[Fields], Fields] | None = None
    pooled: bool = True
    format: Format | None = None
    continued: Format | None = None
    is_tokenized: bool = False
    errors: ErrorForm = openai_error
    opening: Sequence[str] = ()
    model: str | None = None
    inactive: str = ""

    @property
    def untranslated(self) -> Endpoint:
        """This endpoint for a request that must not be rewritten: it is only throttled."""
        return replace(self, format=None, is_tokenized=False)

    @property
    def continuing(self) -> Endpoint:
        """This endpoint for a request that continues a conversation stored by the provider."""
        return replace(self.untranslated, continued=self.format)

    @property
    def translated(self) -> Endpoint:
        """This endpoint for a request that another layer of batchwrap has already translated."""
        return replace(self.untranslated, name="translated")

    @property
    def unpooled(self) -> Endpoint:
        """This endpoint for a request that only one account can send."""
        return replace(self, pooled=False)

    def with_model(self, body: chat.Body) -> chat.Body:
        """A body that was read, with the model that its path names."""
        return body if self.model is None else {**body, "model": self.model}

    def without_model(self, body: chat.Body) -> chat.Body:
        """A body to send: without the model if the path names it."""
        if self.model is None:
            return body
        return {name: value for name, value in body.items() if name != "model"}

    def opens(self, event: chat.Body) -> str | None:
        """The type of an event that precedes an answer; None for any other event."""
        kind = event.get("type")
        return kind if kind in self.opening else None

    def is_empty(self, event: chat.Body) -> bool:
        """Whether an event holds nothing of an answer, except perhaps its usage."""
        return not event.get("choices") if self.format is None else self.format.is_empty(event)

    def prompt_tokens(self, body: chat.Body) -> int:
        """An estimate of a request's prompt tokens, from the bytes of its texts and tools."""
        given = [body.get(name) for name in (*self.prompt, "tools")]
        return sum(_bytes(given)) // _BYTES_A_TOKEN

    def output(self, body: chat.Body) -> chat.Body:
        """A request's output limit and number of answers, as fields of chat completions."""
        if self.most is None:
            return {"max_tokens": 0}
        # Completions answer each prompt of a list, and `n` answers to each.
        answers, prompts = body.get("n"), body.get("prompt")
        each = answers if isinstance(answers, int) else 1
        if isinstance(prompts, list) and not _are_numbers(prompts):
            each *= len(prompts)
        return {"max_tokens": body.get(self.most), "n": each}


def _bytes(given: object) -> Iterator[int]:
    """The sizes of all texts in a JSON value. No recursion: the value may be nested deeply."""
    waiting: list[Any] = [given]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield len(value.encode(errors="surrogatepass"))
        elif isinstance(value, list):
            if _are_numbers(value):  # a prompt that is given as tokens
                yield _BYTES_A_TOKEN * len(value)
            else:
                waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(item for name, item in value.items() if name not in _NO_TEXT)


def _are_numbers(value: list[Any]) -> bool:
    return bool(value) and all(type(item) is int for item in value)


def _responses_usage(usage: Fields) -> Fields:
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
    }


def _messages_usage(usage: Fields) -> Fields:
    """A usage of the Messages API in chat's form.

    `input_tokens` excludes tokens that were read from the cache or written to it.
    https://platform.claude.com/docs/en/build-with-claude/prompt-caching
    """
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    parts = (usage.get("input_tokens"), read or 0, written or 0)
    return {
        "prompt_tokens": sum(parts) if all(isinstance(part, int) for part in parts) else None,
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": {"cached_tokens": read},
    }


def _embeddings_usage(usage: Fields) -> Fields:
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
    suffix="/v1/messages",  # OpenAI's Assistants API has paths that end with "/messages", too
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

# Its streams consist of AWS's binary frames, each of which holds an event of the model's API.
BEDROCK = Endpoint(
    name="bedrock",
    suffix="/invoke",
    prompt=("system", "messages", "prompt"),
    usage=_messages_usage,
    errors=anthropic_error,
    inactive="batching and reminders are inactive for requests that invoke a model at Bedrock's "
    "runtime (AnthropicBedrock); those are throttled, and otherwise left as they are. Bedrock "
    "speaks the Messages API itself, too (AnthropicBedrockMantle): with an API key it is batched.",
)
# Endpoints whose paths name the model, and the functions that read it.
_HOSTED: tuple[tuple[Callable[[str], str | None], Endpoint], ...] = (
    (vertex_model, MESSAGES),
    (bedrock_model, BEDROCK),
)


# Paths that count the tokens of a request, and the endpoint that would answer that request.
_COUNTED = (
    ("/v1/messages/count_tokens", "messages"),
    ("/publishers/anthropic/models/count-tokens:rawPredict", "messages"),
    ("/responses/input_tokens", "responses"),
)


def endpoint_at(path: str) -> Endpoint | None:
    """The endpoint at a path; None if requests to this path are not throttled."""
    found = next((one for one in ENDPOINTS if path.endswith(one.suffix)), None)
    if found is None:
        named = ((model_in(path), endpoint) for model_in, endpoint in _HOSTED)
        found = next((replace(one, model=model) for model, one in named if model), None)
    return found


def endpoint_of(body: Fields) -> Endpoint | None:
    """The endpoint for a request whose path is unknown, by its fields; None if they fit several."""
    if isinstance(body.get("messages"), list):
        return MESSAGES if messages.is_spoken(body) else CHAT
    return RESPONSES if responses.is_spoken(body) else None


def counted_at(path: str) -> Endpoint | None:
    """The endpoint whose requests a path counts without answering them; None for other paths."""
    name = next((name for suffix, name in _COUNTED if path.endswith(suffix)), None)
    return next((one for one in ENDPOINTS if one.name == name), None)


def errors_at(path: str, headers: Mapping[str, str]) -> ErrorForm:
    """The form of errors for a request, to an endpoint or to any other path.

    Args:
        path: the request's path.
        headers: its headers by lower-case name.
    """
    endpoint = endpoint_at(path)
    is_anthropics = _ANTHROPIC_HEADER in headers
    return anthropic_error if is_anthropics else endpoint.errors if endpoint else openai_error


class Meter:
    """Reads the usage of one answer, complete or streamed.

    A stream may report its usage in parts (Anthropic: the prompt's at the beginning, the output's
    at the end) or several times. The latest value of each field counts.

    Attributes:
        is_impossible: whether it reported more tokens than any request has, which do not count.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._in_chats_form = endpoint.usage
        self._reported: dict[str, Any] = {}
        self.is_impossible = False

    def __call__(self, answer: Fields) -> Usage | None:
        """The usage after this answer or event; None if it reports none, or only a part."""
        if self._in_chats_form is None:
            usage = reported(answer)
            return None if usage is None else self._counted(usage)
        # The first event of the Messages API holds the message, whose output has not begun.
        begun = self._add(answer.get("message"))
        if not (self._add(answer) or self._add(answer.get("response"))) or begun:
            return None
        return self._counted(self._in_chats_form(self._reported))

    def _counted(self, usage: Fields) -> Usage | None:
        counts = counted(usage)
        self.is_impossible |= counts is None and is_impossible(usage)
        return counts

    def _add(self, place: object) -> bool:
        """Add the usage of an answer or event, if it has one; returns whether it has."""
        usage = place.get("usage") if isinstance(place, Mapping) else None
        if not isinstance(usage, dict):
            return False
        self._reported |= {name: value for name, value in usage.items() if value is not None}
        return True
