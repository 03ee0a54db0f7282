"""From raw TSV files to token tables: tasks, their files, strict reading, tokenising, downloading.

Nothing here knows a model's arithmetic or a training.
"""
