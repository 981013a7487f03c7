"""C functions only: see ext/pushcast/cursor.pyx."""
