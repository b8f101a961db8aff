"""GitHub pull request to document, document to one row of features, row to score.

Imports within the package are relative, and nothing but numpy is needed: the package travels inside the
model artifact and is loaded several times side by side, once for each served model.
"""
