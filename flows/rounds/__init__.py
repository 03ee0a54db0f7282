"""Work in rounds, each planned from the results of the one before it: what `pkd search` and `pkd compress` share."""
