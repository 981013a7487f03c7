"""Ingest: what brings streams in."""
