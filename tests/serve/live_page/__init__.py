"""The page of `serve`, its data, and who may see it."""
