"""A comparison at an endpoint of the user's: what batchwrap changes there, with intervals."""
