"""Alias of a registered model to its version and its files on this machine."""
