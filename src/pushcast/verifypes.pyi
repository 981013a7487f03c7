"""C functions only: see ext/pushcast/verifypes.pyx."""
