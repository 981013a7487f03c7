"""Sequence parameter sets for those who repeat their facts: see sps.pyx.  What cannot be parsed raises MediaError."""

cdef frozenset CHROMA_PROFILES       # profile_idc
# The unit without its emulation prevention bytes.
cdef bytes rbsp(bytes unit)
# Facts by name: width, height, frame_rate, chroma, luma, chroma_depth; for HEVC also layers and nested.
cdef dict avc_sps(bytes unit)
cdef dict hevc_sps(bytes unit)
