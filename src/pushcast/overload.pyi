"""C functions only: see ext/pushcast/overload.pyx."""
