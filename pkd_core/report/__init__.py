"""The comparison of trained models: results grouped over seeds, as Markdown, JSON, a figure and a text table.

It computes nothing with a model; it is given one row for each trained model.
"""
