"""GitHub's API with the I/O at one edge: one response is data or a typed error, purely."""
