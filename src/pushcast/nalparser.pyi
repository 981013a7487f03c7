"""H.264 and HEVC access units of PES packets."""

from pushcast.esparser import EsParser

class NalParser(EsParser): ...
