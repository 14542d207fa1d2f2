"""Defects of requests: what one provider takes, and another one refuses."""
