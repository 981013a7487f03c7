"""AAC headers are read and written by Python functions alone: see aac.pyx."""
