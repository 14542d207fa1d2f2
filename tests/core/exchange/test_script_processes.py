"""Scripts of conversations each request of which reaches another process."""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.options import Batching, Scripts
from tests.core.apis import Api, each_api
from tests.core.harness import call
from tests.core.script_play import Agent, Play, Provider, says, script
from tests.core.script_programs import World, programs, worlds
from tests.strategies import examples

OPTIONS = Batching(coalesce="never", scripts=Scripts())


@dataclass
class Spread(Play):
    """A conversation of which each request goes to a process that remembers nothing itself."""

    def ask(self) -> Any:
        """The message that the agent gets, from the next process."""
        self.restart(self.batching)
        return super().ask()


@dataclass
class Lossy(Spread):
    """The same, where records vanish, or are as they were some time ago, before each request."""

    file: str = ""
    chosen: random.Random = field(default_factory=random.Random)
    old: dict[tuple[Any, ...], list[str]] = field(default_factory=lambda: defaultdict(list))

    def ask(self) -> Any:
        """The message that the agent gets."""
        with closing(sqlite3.connect(self.file)) as store, store:
            for *record, sealed in store.execute(
                "SELECT name, part, sealed FROM memory"
            ).fetchall():
                self.old[tuple(record)].append(sealed)
                what = self.chosen.choice(["there", "there", "gone", "old"])
                if what == "gone":
                    store.execute("DELETE FROM memory WHERE (name, part) = (?, ?)", record)
                elif what == "old":
                    given = [self.chosen.choice(self.old[tuple(record)]), *record]
                    store.execute("UPDATE memory SET sealed = ? WHERE (name, part) = (?, ?)", given)
        return super().ask()


agents = st.builds(
    Agent,
    streams=st.booleans(),
    takes=st.sampled_from(["all", "first", "skips"]),
    ids=st.sampled_from(["kept", "cut"]),
    keeps=st.booleans(),
)


def turns_of(codes: list[str]) -> list[Any]:
    """What the model says: each program, beside an edit."""
    return [
        says(
            script(f"call_{turn}_0", code),
            call(
                f"call_{turn}_1", "edit_file", {"path": "a", "old_string": "1", "new_string": "2"}
            ),
        )
        for turn, code in enumerate(codes)
    ]


@each_api
@examples(30, quick=8)
@given(st.lists(programs(), min_size=1, max_size=2), worlds, agents)
def test_as_one_process(api: Api, codes: list[str], world: World, agent: Agent) -> None:
    """The provider and the agent get the same, wherever the program has travelled, or not."""
    turns = turns_of(codes)
    alone = Play(Provider(api, turns), agent, world, OPTIONS).run()
    with TemporaryDirectory() as folder:
        batching = replace(OPTIONS, memory=f"sqlite:///{folder}/shared.db")
        spread = Spread(Provider(api, turns), agent, world, batching).run()
    assert [one[1:] for one in spread.ran] == [one[1:] for one in alone.ran]
    assert spread.requests == alone.requests


@each_api
@examples(30, quick=8)
@given(
    st.lists(programs(), min_size=1, max_size=2), worlds, agents, st.randoms(use_true_random=False)
)
def test_lost_and_old_records(
    api: Api, codes: list[str], world: World, agent: Agent, chosen: random.Random
) -> None:
    """No call is made twice, and none that the program has not made; nothing fails."""
    alone = Play(Provider(api, turns_of(codes)), agent, world, OPTIONS).run()
    with TemporaryDirectory() as folder:
        batching = replace(OPTIONS, memory=f"sqlite:///{folder}/shared.db")
        provider = Provider(api, turns_of(codes))
        lossy = Lossy(provider, agent, world, batching, file=f"{folder}/shared.db", chosen=chosen)
        lossy.run()
    assert lossy.calls_run() <= alone.calls_run()
