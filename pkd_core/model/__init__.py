"""BERT: checking, loading and saving models, packed batches, and the forward pass over them.

What a model is trained for is not known here: losses are in `method`, training is in `training`.
"""
