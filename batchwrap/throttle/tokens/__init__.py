"""The parts of a prompt's estimate: texts, messages, pictures, tools, and calibration."""
