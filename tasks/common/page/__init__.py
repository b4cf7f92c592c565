"""Self-contained pages: a document of sections and blocks, drawings as SVG, pictures with shapes on them.

`report`, and the galleries of `validate` and `review`, say what is on a page; how it looks is in page.html.j2.
"""
