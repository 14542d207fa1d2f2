"""How each agent is told where its provider is, and what its own edit tool takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Where `make test-agents` puts them.
_COMMANDS = Path(__file__).parents[3] / "build" / "agents" / "node_modules" / ".bin"
_WITHIN_S = 240
_MODEL = "lab-model"


def why_not() -> str | None:
    """Why no agent is run here; None if they are."""
    if "BATCHWRAP_TEST_AGENTS" not in os.environ:
        return "minutes and a gigabyte: make test-agents"
    return "node is not installed" if shutil.which("node") is None else None


@dataclass(frozen=True)
class Agent:
    """An agent that takes one prompt, does what its model asks for, and ends.

    Attributes:
        name: its command.
        arguments: what stands between the command and the prompt.
        configure: writes its settings into a home folder, for a base URL; returns what belongs
            into its environment.
        edit: the arguments of its tool for edits, for a path, the old text and the new one.
        edits: the name of that tool.
    """

    name: str
    arguments: list[str]
    configure: Callable[[Path, str], dict[str, str]]
    edit: Callable[[str, str, str], dict[str, Any]]
    edits: str = "edit"

    def run(self, prompt: str, home: Path, project: Path, base_url: str, *more: str) -> str:
        """Run it in a project folder, with more arguments; its output.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1"}
        env |= self.configure(home, base_url)
        done = subprocess.run(
            [_COMMANDS / self.name, *more, *self.arguments, prompt],
            cwd=project,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=True,
        )
        return done.stdout


def _with_search() -> str:
    """A PATH with the `rg` that Codex brings along, for agents that would download one."""
    folders = _COMMANDS.parent.glob("@openai/codex-*/vendor/*/codex-path")
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])


def _opencode(home: Path, base_url: str) -> dict[str, str]:
    config = {
        "provider": {
            "lab": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": base_url, "apiKey": "any"},
                "models": {_MODEL: {}},
            }
        },
        "model": f"lab/{_MODEL}",
        "small_model": f"lab/{_MODEL}",
        "share": "disabled",
    }
    file = home / "opencode.json"
    file.write_text(json.dumps(config))
    quiet = ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    return {
        "OPENCODE_CONFIG": str(file),
        "PATH": _with_search(),
        **{f"OPENCODE_DISABLE_{it}": "1" for it in quiet},
    }


def _qwen(home: Path, base_url: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "any", "OPENAI_MODEL": _MODEL}


def _pi(home: Path, base_url: str) -> dict[str, str]:
    provider = {
        "baseUrl": base_url,
        "api": "openai-completions",
        "apiKey": "any",
        "models": [{"id": _MODEL}],
    }
    folder = home / ".pi" / "agent"
    folder.mkdir(parents=True)
    (folder / "models.json").write_text(json.dumps({"providers": {"lab": provider}}))
    return {"PI_OFFLINE": "1"}


def _claude(home: Path, base_url: str) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": base_url.removesuffix("/v1"),
        "ANTHROPIC_API_KEY": "any",
        "ANTHROPIC_MODEL": "claude-haiku-4-5",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "MAX_THINKING_TOKENS": "0",
    }


def _thinking_claude(home: Path, base_url: str) -> dict[str, str]:
    told = _claude(home, base_url)
    del told["MAX_THINKING_TOKENS"]
    return {**told, "ANTHROPIC_MODEL": "claude-opus-5-5"}


def codex(model: str = "gpt-5.5", **provider: Any) -> Agent:
    """Codex with one of the models that it knows, and more settings of its provider."""

    def configure(home: Path, base_url: str) -> dict[str, str]:
        settings = {
            "name": "lab",
            "base_url": base_url,
            "env_key": "LAB_KEY",
            "wire_api": "responses",
            "request_max_retries": 0,  # a mistake of a test shows at once
            "stream_max_retries": 0,
            **provider,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        folder = home / ".codex"
        folder.mkdir(exist_ok=True)
        top = f'model = "{model}"\nmodel_provider = "lab"\n[model_providers.lab]\n'
        (folder / "config.toml").write_text(top + "\n".join(lines))
        return {"LAB_KEY": "any"}

    where = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return Agent("codex", where, configure, lambda path, old, new: {})


OPENCODE = Agent(
    "opencode",
    ["run"],
    _opencode,
    lambda path, old, new: {"filePath": path, "oldString": old, "newString": new},
)
QWEN = Agent(
    "qwen",
    ["--yolo", "--auth-type", "openai", "-p"],
    _qwen,
    lambda path, old, new: {"file_path": path, "old_string": old, "new_string": new},
)
PI = Agent(
    "pi",
    ["--provider", "lab", "--model", _MODEL, "-p"],
    _pi,
    lambda path, old, new: {"path": path, "edits": [{"oldText": old, "newText": new}]},
)
CLAUDE = Agent(
    "claude",
    ["--allowedTools=Read,Edit,Write", "-p"],
    _claude,
    # It adds a default when it sends a call back, and the scripted model compares that to its own.
    lambda path, old, new: {
        "file_path": path,
        "old_string": old,
        "new_string": new,
        "replace_all": False,
    },
    edits="Edit",
)
# With the model that it takes by itself, which always thinks.
THINKING_CLAUDE = replace(CLAUDE, configure=_thinking_claude)
