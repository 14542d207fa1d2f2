"""Holds requests back until the provider's limits allow them, and retries refusals."""
