"""The comparison that `python -m skmetaad compare` runs."""
