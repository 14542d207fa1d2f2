"""code-puppy with a wrapped model: its own tools, its own agent.

    python examples/frameworks/with_code_puppy.py [--stream] "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""
import asyncio
import os
import sys

from code_puppy import config
from code_puppy.agents import get_current_agent
from code_puppy.model_factory import ModelFactory
import batchwrap

print(dir(config)[:5])
