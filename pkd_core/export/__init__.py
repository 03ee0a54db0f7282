"""A trained classifier as files that run without torch: ONNX in float32 and int8, its tokenizer, and a small program.

`bundle_predict` is that program: it imports nothing of pkd, and pkd runs exported models with it too.
"""
