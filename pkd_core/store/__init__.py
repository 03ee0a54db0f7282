"""The stage store: published folders, their manifests, locks, atomic writes, and errors of the operating system.

It handles files and hashes only; tensors, models and settings do not belong here.
"""
