"""The comparison of trained models: results grouped over seeds, as Markdown, JSON, a figure and a text table.

It runs no model; its input is one `ResultRow` for each trained model.
"""
