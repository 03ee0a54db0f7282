"""From raw TSV files to token tables: tasks, their files, strict reading, tokenising, downloading.

No model and no training belongs here.
"""
