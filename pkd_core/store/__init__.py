"""The stage store: published folders with manifests, locks, atomic writes, and the operating system's errors as one sentence.

It knows files and hashes alone: no tensor, no model and no setting.
"""
