"""What runs in which order: the Prefect flow, its deployment and the command line."""
