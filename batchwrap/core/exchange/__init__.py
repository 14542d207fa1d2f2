"""One request and its answer: the state machine, the translation, and what is remembered."""
