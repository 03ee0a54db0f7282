"""Every setting of a run: its type, default and bounds, how a user overrides it, and the authors' published values.

Nothing here reads data, loads a model or knows how a setting is used.
"""
