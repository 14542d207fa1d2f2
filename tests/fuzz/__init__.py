"""Bodies that nobody has thought of, and mistakes at any place."""
