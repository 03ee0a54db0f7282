"""The training loop of teacher and student: batches, objective, optimizer, checkpoints, metrics.

It is given a model and token tables; where these come from, and what becomes of the weights, is the caller's.
"""
