"""Results as text, JSON, YAML and Markdown: pure functions from values to what is printed.

Text is first an outline (``outline.Entry``), which ``output`` prints plainly, or with colour on a terminal.
"""
