"""The report as one HTML page, which needs no other file and no network.

Values are computed here; `page.html` and `plot.html` write the tags, and jinja2 escapes everything that is put there.
"""
