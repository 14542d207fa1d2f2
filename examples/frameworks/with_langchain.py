"""LangChain's agent with ChatOpenAI on a wrapped http client.

    python examples/frameworks/with_langchain.py [--stream] "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import os
import sys

import httpx2
from file_tools import edit_file, read_file
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

import batchwrap


def main(task: str, *, stream: bool) -> None:
    """Run an agent on a task, with its answers at once or as streams."""
    # An async agent takes `http_async_client=batchwrap.wrap(httpx2.AsyncClient(…))`.
    http_client = batchwrap.wrap(httpx2.Client(timeout=600))
    model = ChatOpenAI(model=os.environ["MODEL"], http_client=http_client)
    agent = create_agent(model, [read_file, edit_file])
    conversation = {"messages": [{"role": "user", "content": task}]}
    if stream:
        for part, _ in agent.stream(conversation, stream_mode="messages"):
            print(part.text, end="")
        print()
    else:
        print(agent.invoke(conversation)["messages"][-1].text)
    print(batchwrap.stats(http_client))


if __name__ == "__main__":
    main(sys.argv[-1], stream="--stream" in sys.argv)
