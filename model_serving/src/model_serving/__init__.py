"""Serves a registered model over HTTP: scores with reasons, dashboard, webhook."""
