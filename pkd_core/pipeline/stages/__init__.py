"""One function for each kind of stage: it reads its inputs' folders, writes its work folder, and returns its facts.

Caching, locking and publishing are in `pipeline.build` and `store`.
"""
