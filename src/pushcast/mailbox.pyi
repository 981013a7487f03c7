"""C functions only: see ext/pushcast/mailbox.pyx."""
