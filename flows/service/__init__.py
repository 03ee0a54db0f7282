"""`pkd up`: Prefect's server, MLflow's UI and the serving process, their logins and their ends.

What the deployment runs is in `flows.pkd`.
"""
