"""The arithmetic of limits: what a request costs, and when it can be admitted."""
