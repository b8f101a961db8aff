"""Load test of the scoring service and its gate."""
