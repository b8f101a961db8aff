"""The one-machine set-up: embedded MongoDB, generated corpus, GitHub stand-in, pipeline runner.

Nothing here is part of a stage image; the stages know it only as addresses and files.
"""
