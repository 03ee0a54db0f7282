"""BERT's arithmetic: loading and saving models, packed batches, and the forward pass over them.

Nothing here knows what a model is trained for.
"""
