"""Putting broken provider output right, in front of every other move."""
