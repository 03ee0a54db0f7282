"""The stage store: published folders, their manifests, locks, atomic writes, and operating-system errors as sentences.

It knows files and hashes alone: no tensor, no model and no setting.
"""
