"""What a trained model predicts, how well it scores, how fast it is, and GLUE's submission files.

How results of several models compare is in `report`.
"""
