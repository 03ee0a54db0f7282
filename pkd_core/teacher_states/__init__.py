"""The teacher's logits and [CLS] states of every training example: extracted once, stored in Arrow, read by example id.

The losses that compare a student with them are in `training`.
"""
