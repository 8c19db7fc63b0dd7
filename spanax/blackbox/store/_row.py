"""One row of a store, and whether it is still what was written."""

import struct
import zlib
from typing import NamedTuple

from ._layout import digest


class Row(NamedTuple):
    """One evaluation; `layout` as JSON, `checksum`: 32 bits of the digest, the seconds and the output."""

    layout: str
    digest: bytes
    replicate: int
    input: bytes
    output: bytes
    seconds: float
    checksum: int

    @classmethod
    def made(cls, layout: str, digest: bytes, replicate: int, inputs: bytes, output: bytes, seconds: float) -> "Row":
        return cls(layout, digest, replicate, inputs, output, seconds, _checksum(digest, output, seconds))

    def whole(self, signature: bytes) -> bool:
        """Is all of it what was written, for the layout with that signature?"""
        known = type(self.input) is bytes and type(self.replicate) is int and self.replicate >= 0
        known = known and digest(signature, self.input, self.replicate) == self.digest
        return known and sound(self.digest, self.output, self.seconds, self.checksum)


def sound(digest: bytes, output: bytes, seconds: float, checksum: int) -> bool:
    """Is the output what was written for that digest? In a damaged file a column may be of any type."""
    return type(output) is bytes and type(seconds) is float and _checksum(digest, output, seconds) == checksum


def _checksum(digest: bytes, output: bytes, seconds: float) -> int:
    return zlib.crc32(output, zlib.crc32(digest + struct.pack("<d", seconds)))
