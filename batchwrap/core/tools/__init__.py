"""The agent's tools as batching sees them, and the multi-tools that are made of them."""
