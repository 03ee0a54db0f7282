-- Run by Postgres' image when its volume is empty. Prefect's server and MLflow's create their tables themselves.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
