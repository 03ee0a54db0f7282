"""The teacher's logits and [CLS] states of every training example: extracted once, stored in Arrow, read by example id.

How a student learns from them is in `training`.
"""
