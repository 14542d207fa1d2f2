"""mini-swe-agent, whose only tool is bash, with litellm's completion function decorated.

    python examples/frameworks/with_mini_swe_agent.py "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import os
import sys

import litellm
import yaml
from minisweagent.agents.default import DefaultAgent
from minisweagent.config import builtin_config_dir
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel

import batchwrap


def main(task: str) -> None:
    """Run the agent on a task. A list of commands comes one by one, up to the first that fails."""
    bash = batchwrap.Batching(tools={"bash": "sequential"})
    litellm.completion = batchwrap.batched(batching=bash)(litellm.completion)
    config = yaml.safe_load((builtin_config_dir / "mini.yaml").read_text())
    model = LitellmModel(
        **config["model"], model_name=f"openai/{os.environ['MODEL']}", cost_tracking="ignore_errors"
    )
    settings = {key: config["agent"][key] for key in ("system_template", "instance_template")}
    print(DefaultAgent(model, LocalEnvironment(), **settings).run(task))
    print(batchwrap.stats(litellm.completion))


if __name__ == "__main__":
    main(sys.argv[-1])
