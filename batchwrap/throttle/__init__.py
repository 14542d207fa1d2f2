"""Holding requests back until the provider's limits allow them, and retrying refusals."""
