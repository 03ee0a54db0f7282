"""`pkd up`: the processes of Prefect's server, MLflow's UI and the deployment, and their login.

The flow that the deployment runs is in `flows.pkd`, the command line in `flows.cli`.
"""
