"""How a stage is cached, retried, limited and tracked: one thin Prefect task a stage, and MLflow."""
