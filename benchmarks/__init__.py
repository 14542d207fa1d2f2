"""What the figures of README and docs are printed by; run from the project folder."""
