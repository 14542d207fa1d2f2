"""Repair of broken provider output, in front of every other move."""
