"""Parameter sets that real encoders made."""

# Of x264: high profile, 1280x720, 4:2:0 8 bit, 30 frames per second, with its PPS; baseline profile, 640x480, 25.
SPS = bytes.fromhex("6764001facd9405005bb0110000003001000000303c0f1831960")
PPS = bytes.fromhex("68ebe3cb22c0")
BASELINE_SPS = bytes.fromhex("6742c01ed900a03db011000003000100000300320f162e48")
# Of x265: main profile, 638x358.
HEVC_VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003f959809")
HEVC_SPS = bytes.fromhex("42010101600000030090000003000003003fa005020169d565959a4932bc05a02000000300200000030321")
HEVC_PPS = bytes.fromhex("4401c172b46240")
