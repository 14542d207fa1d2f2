"""`import batchwrap` is light, and a missing extra says what to install."""

import subprocess
import sys

HEAVY = (
    *("httpx", "httpx2", "openai", "litellm", "redis", "tiktoken", "rich", "typer", "starlette"),
    "opentelemetry",
)


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_loads_nothing_heavy() -> None:
    """No HTTP library, SDK, tokenizer or store is imported."""
    code = f"import batchwrap, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert python(code) == "[]"


def test_takes_less_than_100_ms() -> None:
    """The best of five imports, each in a fresh interpreter, is below 100 ms of processor time.

    That is what it takes on a quiet machine; other programs on a busy one are not its fault.
    """
    code = (
        "import time; start = time.process_time(); import batchwrap; "
        "print(time.process_time() - start)"
    )
    assert min(float(python(code)) for _ in range(5)) < 0.1


def test_a_missing_extra_names_itself() -> None:
    """The error says which extra brings the package."""
    code = (
        "import sys; sys.modules['httpx2'] = None\n"
        "try: import batchwrap.adapters.httpx2\n"
        "except ImportError as error: print(error, error.extra)"
    )
    message = 'httpx2 is not installed; it comes with: pip install "batchwrap[httpx2]" httpx2'
    assert python(code) == message


def test_the_proxys_hook_without_litellm() -> None:
    """Importing it needs no litellm; using it names the extra."""
    code = (
        "import sys; sys.modules['litellm'] = None\n"
        "import batchwrap.litellm\n"
        "try: batchwrap.litellm.proxy\n"
        "except ImportError as error: print(error.extra)"
    )
    assert python(code) == "litellm"
