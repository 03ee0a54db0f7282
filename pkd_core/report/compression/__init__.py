"""What a compressed classifier gained and what it cost: as JSON, a page, a model card and a table for terminals.

All are made from one `Compression`.
"""
