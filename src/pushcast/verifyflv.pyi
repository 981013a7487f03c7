"""C functions only: see ext/pushcast/verifyflv.pyx."""
