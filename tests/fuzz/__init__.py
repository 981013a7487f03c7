"""A coverage-guided fuzzer over everything that parses bytes from outside.

A target (`targets`) is a function of bytes that lets nothing out but what is a bug: the errors that a parser documents
are its answers, and what holds for every input is asserted.  libFuzzer drives it through atheris in a process whose
extensions were built with `SANITIZE=fuzz` (`__main__`); `campaign` is `make fuzz`, all targets with a time for each.
What the runs have found is kept, minimised, in one archive for each target (`corpus`), which tests/test_fuzz_corpus.py
replays in the plain suite and under the address sanitizer; `seeds` is what a corpus begins with.
"""
