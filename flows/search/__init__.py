"""A search: what is asked for, its flow, and Optuna's choice of points.

It consists of ordinary stages, which it shares with `pkd run`.
"""
