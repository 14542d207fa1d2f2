"""Owners of reservations: the name of a process, and whether that process is alive.

A name holds the machine, the process id, and the start time, since ids are reused. On the same
machine the operating system knows whether the process is alive, at once and for certain: a killed
process is gone, a stopped one is not. A process on another machine or in another container cannot
be seen from here; it counts as alive as long as it reports itself (`core.limits.account.renew`).
"""

from __future__ import annotations

import os
import secrets
import socket
from functools import cache
from hashlib import blake2b
from pathlib import Path

_PROC = Path("/proc")
# The fields of /proc/PID/stat after the name that hold the state and the start time.
_STATE, _STARTED = 0, 19
_DEAD = ("Z", "X", "x")
# A process id has no more digits.
_MOST_DIGITS = 9


def new_owner() -> str:
    """A unique owner name for a limiter of this process."""
    pid = os.getpid()
    host = socket.gethostname().replace("/", "-")
    started = _stat(pid)[_STARTED] if _machine() else "0"
    return f"{host}/{pid}/{started}/{_machine()}/{secrets.token_hex(4)}"


def is_alive(owner: str) -> bool | None:
    """Whether the process of this name is alive; None if that cannot be seen from here."""
    _, _, rest = owner.partition("/")
    number, _, rest = rest.partition("/")
    started, _, rest = rest.partition("/")
    machine = rest.partition("/")[0]
    if not machine or machine != _machine() or not number.isdecimal():
        return None
    if len(number) > _MOST_DIGITS:
        return None
    try:
        found = _stat(int(number))
    except OSError:
        return _answers(int(number))
    return found[_STATE] not in _DEAD and found[_STARTED] == started


def describe_owner(owner: str) -> str:
    """An owner in readable form: ``"1234 on host"``."""
    host, _, rest = owner.partition("/")
    return f"{rest.partition('/')[0]} on {host}" if rest else owner


def _answers(pid: int) -> bool | None:
    """False if there is no such process; None if its entry may be hidden from us."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return None
    return None


def _stat(pid: int) -> list[str]:
    # The program's name may contain spaces and brackets, so the last bracket ends it.
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


@cache
def _machine() -> str:
    """Identifies where process ids are comparable: one boot, and one container in it."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = (_PROC / "self/ns/pid").readlink()
        _stat(os.getpid())
    except (OSError, IndexError):
        return ""
    return blake2b(f"{boot} {space}".encode(), digest_size=6).hexdigest()
