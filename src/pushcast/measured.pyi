"""C functions only: see ext/pushcast/measured.pyx."""
