"""Speed of training, extraction and tokenising, compared with limits and alternatives: `make bench`."""
