"""Decoder configuration records of video are read and written by Python functions alone: see videoconfig.pyx."""
