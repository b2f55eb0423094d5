"""Films: pictures of one flat colour, and tones, encoded once, to be sent again and again without a camera."""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
from aiortc.codecs.vpx import VpxPayloadDescriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour = tuple[int, int, int]

SOUND_SECONDS: Final = 0.02
"""What one packet of Opus carries."""

_PAYLOAD: Final = 1100
"""Bytes of a picture in one packet, as browsers cut them."""

_SAMPLES: Final = 960
_SAMPLES_A_SECOND: Final = 48_000


@dataclass(frozen=True, slots=True)
class Film:
    """What somebody sends, without an end: its first picture needs none before it."""

    colour: Colour
    rate: int
    """Pictures per second."""
    pictures: tuple[tuple[bytes, ...], ...]
    """Each picture, as the payloads of its packets (RFC 7741)."""
    sounds: tuple[bytes, ...]
    """Each packet of sound (RFC 7587)."""

    @property
    def packets_a_second(self) -> float:
        return 1 / SOUND_SECONDS + self.rate * sum(map(len, self.pictures)) / len(self.pictures)


def flat(colour: Colour, tone: int, *, size: tuple[int, int] = (160, 120), rate: int = 10) -> Film:
    """A film of one picture that needs no other, which is a few dozen bytes: whoever comes sees it at once."""
    (picture,) = _encoded([_painted(colour, size)], size, rate, 500)
    return Film(colour, rate, (picture,), _tone(tone))


def busy(colour: Colour, tone: int, *, size: tuple[int, int], rate: int, kbits: int, seconds: int = 3) -> Film:
    """A film that costs as many bits as a camera's: the middle has one colour, snow falls at its upper edge."""
    snow = random.Random(tone)
    pictures = [_painted(colour, size, snow=snow, rows=size[1] // 24) for _ in range(rate * seconds)]
    return Film(colour, rate, tuple(_encoded(pictures, size, rate, kbits)), _tone(tone))


def colour_of(picture: bytes) -> Colour | None:
    """The colour in the middle of a picture that needs none before it; None if it cannot be read."""
    decoder = av.CodecContext.create("vp8", "r")
    try:
        frames = decoder.decode(av.Packet(picture))
    except av.FFmpegError:
        return None
    if not frames:
        return None
    frame = frames[0].reformat(format="rgb24")
    plane = frame.planes[0]
    at = frame.height // 2 * plane.line_size + frame.width // 2 * 3
    red, green, blue = bytes(plane)[at : at + 3]
    return red, green, blue


def picture_in(payload: bytes) -> bytes:
    """The part of a picture that a packet carries."""
    return VpxPayloadDescriptor.parse(payload)[1]


def begins(payload: bytes) -> bool:
    """Whether a packet is the first of a picture (RFC 7741, 4.2)."""
    return payload[0] & 0x17 == 0x10


def stands_alone(picture: bytes) -> bool:
    """Whether a picture needs none before it (RFC 6386, 9.1)."""
    return bool(picture) and not picture[0] & 1


def _painted(
    colour: Colour, size: tuple[int, int], *, snow: random.Random | None = None, rows: int = 0
) -> av.VideoFrame:
    width, height = size
    frame = av.VideoFrame(width, height, "rgb24")
    plane = frame.planes[0]
    line = (bytes(colour) * width).ljust(plane.line_size, b"\0")
    flakes = b"" if snow is None else snow.randbytes(plane.line_size * rows)
    plane.update(flakes + line * (height - rows))
    return frame.reformat(format="yuv420p")


def _encoded(frames: Sequence[av.VideoFrame], size: tuple[int, int], rate: int, kbits: int) -> list[tuple[bytes, ...]]:
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, rate)
    encoder.framerate = Fraction(rate)
    encoder.bit_rate = kbits * 1000
    encoder.gop_size = 10 * len(frames)
    buffer = {"minrate": f"{kbits}k", "maxrate": f"{kbits}k", "bufsize": f"{kbits}k"}
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", **buffer}
    packets = []
    for number, frame in enumerate(frames):
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [_payloads(bytes(packet)) for packet in packets]


def _payloads(picture: bytes) -> tuple[bytes, ...]:
    """Cut a picture into packets."""
    return tuple(
        bytes(VpxPayloadDescriptor(partition_start=int(at == 0), partition_id=0)) + picture[at : at + _PAYLOAD]
        for at in range(0, len(picture), _PAYLOAD)
    )


def _tone(hertz: int) -> tuple[bytes, ...]:
    """One second of it."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate = _SAMPLES_A_SECOND
    encoder.layout = "mono"
    encoder.format = "s16"
    encoder.bit_rate = 32_000
    packets = []
    for number in range(round(1 / SOUND_SECONDS)):
        frame = av.AudioFrame(format="s16", layout="mono", samples=_SAMPLES)
        frame.sample_rate = _SAMPLES_A_SECOND
        frame.pts = number * _SAMPLES
        wave = [
            round(6_000 * math.sin(2 * math.pi * hertz * (number * _SAMPLES + at) / _SAMPLES_A_SECOND))
            for at in range(_SAMPLES)
        ]
        frame.planes[0].update(struct.pack(f"={_SAMPLES}h", *wave))
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple(bytes(packet) for packet in packets)
