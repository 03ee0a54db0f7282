"""The speed of training, extraction and tokenising beside their limits and their alternatives: `make bench`."""
