"""Calls that a server left in the text, in the model's own markup: found, judged, promoted."""
