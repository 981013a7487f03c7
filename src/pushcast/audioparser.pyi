"""The frames of AAC (ADTS and LATM), MPEG audio, AC-3, E-AC-3 and Opus in PES packets."""

from pushcast.esparser import EsParser
from pushcast.media import Codec
from pushcast.source import Source

class AudioParser(EsParser): ...
class AdtsParser(AudioParser): ...
class LatmParser(AudioParser): ...
class MpegAudioParser(AudioParser): ...
class Ac3Parser(AudioParser): ...

class OpusParser(AudioParser):
    def __init__(self, source: Source, track: int, channels: int) -> None:
        """``channels``: as the PMT says, 1 to 8."""

def audio_facts(codec: Codec, head: bytes) -> dict[str, int | float]:
    """sample_rate and channels of an MP3, AC-3 or E-AC-3 frame that begins like this; {} when it does not tell."""
