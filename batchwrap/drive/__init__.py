"""The drivers: they obey the exchange, one with threads, one with tasks; nothing else."""
