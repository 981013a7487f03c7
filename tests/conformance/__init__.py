"""Every input, every codec, every output: what is published comes out with the same packets at the same times, or is
left out with its reason.

matrix says which cells there are and what each must show, clips makes the media, publish and record are the far ends,
cell runs one input of one clip against all outputs.  `make conformance` runs them all and writes docs/media.md.
"""
