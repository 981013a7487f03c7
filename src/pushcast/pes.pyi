"""C functions only: see ext/pushcast/pes.pyx."""
