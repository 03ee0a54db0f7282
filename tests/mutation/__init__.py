"""Mutation testing of pkd_core: which small faults in its functions no default test notices."""
