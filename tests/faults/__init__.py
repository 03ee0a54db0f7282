"""Fault injection into real runs of the command `pkd`: many by `make faults`, a few by the tests."""
