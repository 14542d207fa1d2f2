"""The litellm proxy as its users run it: a process of its own, in front of the lab."""
