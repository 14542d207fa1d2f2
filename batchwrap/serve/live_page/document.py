"""The documents of the page, each one file with its style and script in it.

Their content security policy allows exactly these two by their digests, connections to this server,
and nothing else; and no text may become markup or code (Trusted Types).
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources

from batchwrap.serve.proxy_headers import Headers

_INLINE = re.compile(r'<(style|script) src="([\w.]+)"></\1>')
# What all answers of the page have in common.
GUARDED: Headers = [
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


@dataclass(frozen=True, slots=True)
class Document:
    """One document and its headers."""

    content: bytes
    headers: Headers


def document(name: str) -> Document:
    """A document of this package, in one piece.

    Args:
        name: the file of its body; the head is the same in all of them.
    """
    texts = dict[str, str]()

    def inlined(match: re.Match[str]) -> str:
        kind, source = match.groups()
        texts[kind] = _file(source)
        return f"<{kind}>{texts[kind]}</{kind}>"

    content = _INLINE.sub(inlined, _file("head.html") + _file(name))
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'"
        f"; frame-ancestors 'none'; style-src {_digest(texts['style'])}; script-src"
        f" {_digest(texts['script'])}; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    own = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
    ]
    return Document(content.encode(), [*own, *GUARDED])


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
