"""What is shown: one set of functions that pages and API read through.

Rows of `monitor.storage.reads` (and, for one chosen window, panes) become the
values that a page draws and an API answer prints. Nothing here writes, and
nothing here knows HTML or HTTP.
"""
