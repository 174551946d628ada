"""The serial protocol of the classifier boards, without I/O: bytes in, messages out.

`protocol.toml` describes it; `messages` is generated from that, as is the firmware's `protocol.h`.
"""
