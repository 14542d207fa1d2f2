"""CrewAI with a wrapped client.

    python examples/frameworks/with_crewai.py [--stream] "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import os
import sys

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from file_tools import edit_file, read_file

import batchwrap


def main(task: str, *, stream: bool) -> None:
    """Run a crew of one on a task, with the model's answers at once or as streams."""
    batchwrap.install()  # crewai makes its client itself
    llm = LLM(model=os.environ["MODEL"], provider="openai", stream=stream)
    coder = Agent(
        role="Coder",
        goal="Do what the task says",
        backstory="You work on files in the current folder.",
        tools=[tool(read_file), tool(edit_file)],
        llm=llm,
    )
    work = Task(description=task, expected_output="What was done", agent=coder)
    print(Crew(agents=[coder], tasks=[work]).kickoff())
    print(batchwrap.stats())


if __name__ == "__main__":
    main(sys.argv[-1], stream="--stream" in sys.argv)
