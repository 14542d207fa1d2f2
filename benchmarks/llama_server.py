"""llama.cpp's own HTTP server with a model from a file, in a process of its own.

The package ``xllamacpp`` holds the server: OpenAI's API with chat templates, a parser of tool
calls, grammars and a prompt cache (its responses have ``timings`` with ``prompt_n`` and
``cache_n``). It has no program, so this module is one: ``python -m benchmarks.llama_server MODEL``
prints the address and serves until its standard input ends. `LlamaServer` starts that, and the
server ends with the process that started it, since then the pipe is closed.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Self

START_WITHIN_S = 120.0
STOP_WITHIN_S = 10.0
# Prompts of earlier requests that the server keeps beside the context.
PROMPT_CACHE_MIB = 512


class LlamaServerError(RuntimeError):
    """The server did not start; the message is one line that says what to do."""


class LlamaServer:
    """A running server. ``url`` is its address; the base URL of a client is that and ``/v1``.

    Args:
        model: the weights, as GGUF.
        template: a file with a chat template that replaces the model's own.
        context: tokens of context, of all slots together.
        threads: threads that compute. On a shared machine, two that spin are slower than one.
        slots: requests that are computed side by side.
        start_within_s: how long loading may take.

    Raises:
        LlamaServerError: the package or a file is missing, or the server did not start.
    """

    def __init__(
        self,
        model: Path,
        *,
        template: Path | None = None,
        context: int = 8192,
        threads: int = 1,
        slots: int = 1,
        start_within_s: float = START_WITHIN_S,
    ) -> None:
        if find_spec("xllamacpp") is None:
            raise LlamaServerError(
                "xllamacpp, which holds the server, is not installed: pip install xllamacpp"
            )
        files = [str(path) for path in (model, template) if path is not None]
        for path in files:
            if not Path(path).is_file():
                raise LlamaServerError(f"there is no file {path}")
        # Appended to, since the server and `log` share one position in the file.
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 (closed with the server)
        self._process = subprocess.Popen(
            # -P: modules of this folder must not stand in for those of the standard library.
            [
                *(sys.executable, "-P", __file__, *files),
                *(f"--context={context}", f"--threads={threads}", f"--slots={slots}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)},
        )
        try:
            self.url = self._address(start_within_s)
        except BaseException:
            self.close()
            raise

    def _address(self, within_s: float) -> str:
        output = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], within_s)[0]:
            raise LlamaServerError(
                f"the server did not start within {within_s:g} s: try a smaller context or model"
            )
        address: str = output.readline().strip()
        if address:
            return address
        raise LlamaServerError(f"the server did not start: {self._fault()}")

    def _fault(self) -> str:
        """The first error in the log, without its time and place."""
        lines = self.log().splitlines()
        faults = [line.partition(" E ")[2] for line in lines if " E " in line] or lines[-1:]
        return " ".join("".join(faults[:1]).split()) or "it wrote nothing"

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def log(self) -> str:
        """What the server has written so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="Serve a model from a file at a free port.")
    parser.add_argument("model", type=Path)
    parser.add_argument("template", type=Path, nargs="?")
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slots", type=int, default=1)
    options = parser.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.chat_template = options.template.read_text() if options.template else ""
    params.port = 0  # any that is free
    params.n_ctx = options.context
    params.n_parallel = options.slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
