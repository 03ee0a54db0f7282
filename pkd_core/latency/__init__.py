"""How long models take for the user's own texts, one at a time and in batches, on this machine."""
