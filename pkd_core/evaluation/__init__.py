"""What a trained model predicts, how well it scores, how fast it is, and GLUE's submission files.

The comparison of several models' results is in `report`.
"""
