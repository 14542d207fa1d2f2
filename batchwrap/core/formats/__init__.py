"""How each API writes a conversation: the only modules that name a key of its JSON."""
