"""GitHub's pull requests into MongoDB: frugal, resumable, never silently incomplete."""
