"""pushcast: a live push engine."""

__version__ = "0.1.0"
