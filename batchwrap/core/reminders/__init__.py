"""Putting a short directive back into recency: what is said, and when."""
