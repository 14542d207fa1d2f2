"""Owners of reservations: the name of a process, and whether that process still lives.

A name says on which machine the process runs, its number there, and when it was started, since
numbers are used again. On the same machine the system itself says whether it lives, at once and
for certain: a process that was killed is gone, one that only stands still is not. A process on
another machine, or in another container, cannot be seen from here; it counts as alive as long as
it says so itself (`core.limits.account.renew`).
"""

from __future__ import annotations

import os
import secrets
import socket
from functools import cache
from hashlib import blake2b
from pathlib import Path

_PROC = Path("/proc")
# Of the fields of /proc/PID/stat behind the name: the state, and when the process was started.
_STATE, _STARTED = 0, 19
_DEAD = ("Z", "X", "x")


def new_owner() -> str:
    """A unique name for a limiter of this process."""
    pid = os.getpid()
    host = socket.gethostname().replace("/", "-")
    started = _stat(pid)[_STARTED] if _machine() else "0"
    return f"{host}/{pid}/{started}/{_machine()}/{secrets.token_hex(4)}"


def is_alive(owner: str) -> bool | None:
    """Whether the process lives that has this name; None if that cannot be seen from here."""
    _, _, rest = owner.partition("/")
    number, _, rest = rest.partition("/")
    started, _, rest = rest.partition("/")
    machine = rest.partition("/")[0]
    if not machine or machine != _machine() or not number.isdigit():
        return None
    try:
        found = _stat(int(number))
    except OSError:
        return _answers(int(number))
    return found[_STATE] not in _DEAD and found[_STARTED] == started


def describe_owner(owner: str) -> str:
    """An owner as a person reads it: ``"1234 on host"``."""
    host, _, rest = owner.partition("/")
    return f"{rest.partition('/')[0]} on {host}" if rest else owner


def _answers(pid: int) -> bool | None:
    """False if there is no such process; its entry may be hidden from us, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return None
    return None


def _stat(pid: int) -> list[str]:
    # The name of the program may hold spaces and brackets, so it is skipped from behind.
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


@cache
def _machine() -> str:
    """Tells apart where numbers of processes mean the same: a boot, and a container in it."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = (_PROC / "self/ns/pid").readlink()
        _stat(os.getpid())
    except (OSError, IndexError):
        return ""
    return blake2b(f"{boot} {space}".encode(), digest_size=6).hexdigest()
