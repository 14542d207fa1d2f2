"""The drivers, which carry out the actions of an exchange: one for threads, one for tasks."""
