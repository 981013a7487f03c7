"""docs/performance.md and its plots, made from the result files of the benches: no figure is written by hand.

    make bench-page                     or: python -m bench.page [--peers FILE] ...      from the repository's root

Of each kind of result in bench/results/ the newest file by its own time counts, unless another one is named: `peers`
(bench.peers), `latency`, `control`, `ingest` (the benches of these names) and `muxing` (bench/run.py, its muxing part).
A kind without a file leaves its sections out, and the console says so.

`files` finds the files, `figures` takes figures out of them, `accepted` is the table of lines that must hold, `tables`
writes tables, `comparison` and `product` write the sections, `words` the page around them; `drawing` and `plots` are
the only ones that need matplotlib.  The same files give the same bytes, plots included, with the same matplotlib
(requirements.lock here).
"""
