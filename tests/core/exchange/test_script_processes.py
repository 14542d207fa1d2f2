"""Scripts of conversations each request of which reaches another process."""

from __future__ import annotations

from dataclasses import dataclass, replace
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


agents = st.builds(
    Agent,
    streams=st.booleans(),
    takes=st.sampled_from(["all", "first", "skips"]),
    ids=st.sampled_from(["kept", "cut"]),
    keeps=st.booleans(),
)


@each_api
@examples(30, quick=8)
@given(st.lists(programs(), min_size=1, max_size=2), worlds, agents)
def test_as_one_process(api: Api, codes: list[str], world: World, agent: Agent) -> None:
    """The provider and the agent get the same, wherever the program has travelled, or not."""
    turns = [
        says(
            script(f"call_{turn}_0", code),
            call(
                f"call_{turn}_1", "edit_file", {"path": "a", "old_string": "1", "new_string": "2"}
            ),
        )
        for turn, code in enumerate(codes)
    ]
    alone = Play(Provider(api, turns), agent, world, OPTIONS).run()
    with TemporaryDirectory() as folder:
        batching = replace(OPTIONS, memory=f"sqlite:///{folder}/shared.db")
        spread = Spread(Provider(api, turns), agent, world, batching).run()
    assert [one[1:] for one in spread.ran] == [one[1:] for one in alone.ran]
    assert spread.requests == alone.requests
