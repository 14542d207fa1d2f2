"""Real frameworks, driven through a tool-using run; each lives in one of several environments."""
