"""Feed: muxer and ring of one FeedKey.  Theory in feed.pyx."""
cimport cython

from pushcast.muxer cimport Muxer
from pushcast.ring cimport Ring
from pushcast.selfcheck cimport SelfCheck


@cython.final
cdef class Feed:
    cdef readonly object key
    cdef readonly Muxer muxer
    cdef readonly Ring ring
    cdef readonly SelfCheck selfcheck    # None of a container that is no transport stream
    cdef readonly int users      # pushes that hold it
    cdef readonly object failure # MediaError that ended this feed alone
    cdef list listeners          # told of it

    cdef fail(self, error)
