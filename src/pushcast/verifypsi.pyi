"""C functions only: see ext/pushcast/verifypsi.pyx."""
