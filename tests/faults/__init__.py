"""Faults done for real to the real command: `make faults` does many, the tests a few."""
