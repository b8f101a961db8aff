"""The runner behind `make demo` and `make pipeline`: every stage as the process that its image runs.

It imports no stage: each is started from its own environment with settings in environment variables,
as a Job would start it, and talked to over MongoDB, files and HTTP.
"""
