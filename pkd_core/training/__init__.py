"""The training loop of teacher and student: batches, objective, optimizer, checkpoints, metrics.

It receives a model and token tables; loading them and storing the trained weights is up to the caller.
"""
