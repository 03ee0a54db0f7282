"""How fast the engine is, beside its limits and beside what a user would run instead: `make bench`."""
