"""Feed: one packetization of one input, which all destinations that want the same share.

Its ring ends with the stream, or with the first frame that its container cannot carry; then its pushes are told why, and other feeds go on.
"""
from dataclasses import replace

from pushcast.muxer cimport Muxer
from pushcast.ring cimport Ring
from pushcast.selfcheck cimport SelfCheck

from pushcast.cbr import CbrMuxer
from pushcast.flv import RtmpMuxer
from pushcast.media import Container
from pushcast.mpegts import TsMuxer
from pushcast.tsoptions import TsOptions

# Address space and index for ten minutes of a delayed push; memory is what its media need.
RING_BYTES = 1 << 30
RING_START_BYTES = 1 << 20
RING_SPANS = 1 << 18


cdef class Feed:
    """Muxer and ring of one FeedKey of one source.

    ``failure``: the MediaError that ended this feed alone, None while it is well.
    """

    def __cinit__(self, key, Muxer muxer):
        self.key = key
        self.muxer = muxer
        self.ring = muxer.ring
        if isinstance(muxer, TsMuxer):
            self.selfcheck = SelfCheck(muxer.ring, key.ts_options.mux_bits_per_s if key.ts_options else 0)
        self.listeners = []

    def on_failure(self, listener):
        """Have ``listener(error)`` called when the muxer cannot go on; at once when it already could not."""
        if self.failure is not None:
            listener(self.failure)
        else:
            self.listeners.append(listener)

    def forget(self, listener):
        """Call this listener no more; one that was called already, or never given, is no error."""
        if listener in self.listeners:
            self.listeners.remove(listener)

    cdef fail(self, error):
        self.failure = error
        self.ring.end()
        listeners, self.listeners = self.listeners, []
        for listener in listeners:
            listener(error)


def feed_muxer(key, tracks):
    """The muxer of a FeedKey, with a ring of its own, for those of the tracks that it chooses."""
    ring = Ring(RING_BYTES, RING_START_BYTES, RING_SPANS)
    chosen = [track for track in tracks if track.id in key.track_ids]
    if key.languages:
        languages = dict(zip(key.track_ids, key.languages))
        chosen = [replace(track, language=languages[track.id]) for track in chosen]
    if key.container is Container.RTMP:
        return RtmpMuxer(ring, chosen, enhanced=key.enhanced, cues=key.cue_ids)
    options = key.ts_options or TsOptions()
    return (CbrMuxer if options.mux_bits_per_s else TsMuxer)(ring, chosen, options)
