"""torch's caching allocator of CUDA memory, imitated on sizes alone.

Promises the rules of ``CUDACachingAllocator`` with its default settings: sizes are rounded to 512
bytes; up to 1 MiB comes from segments of 2 MiB, up to 10 MiB from segments of 20 MiB, more from a
segment of its own, rounded to 2 MiB; the smallest free block that is large enough is taken, at the
lowest address, and split where the rest is worth keeping; a freed block joins its free neighbours;
a segment goes back to the driver only when the cache is emptied, or when the card is full. One
stream. Source: the settings and rules that torch's CUDA notes and allocator document.
"""

from __future__ import annotations

from bisect import bisect_left, insort

MIB = 1 << 20
BLOCK = 512  # every size is rounded up to a multiple
SMALL = MIB  # requests up to here are served from the small pool
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
OWN_SEGMENT = 10 * MIB  # requests from here on get a segment of their own
SEGMENT_ROUND = 2 * MIB


class CardFullError(Exception):
    """A request that the card cannot serve, even with the cache emptied; ``wanted`` bytes."""

    def __init__(self, wanted: int) -> None:
        super().__init__(f"no room for {wanted} bytes")
        self.wanted = wanted


class Block:
    """A stretch of a segment: free, or handed out."""

    __slots__ = ("address", "after", "before", "free", "size", "small")

    def __init__(self, address: int, size: int, small: bool) -> None:
        self.address = address
        self.size = size
        self.small = small
        self.free = False
        self.before: Block | None = None
        self.after: Block | None = None


class Allocator:
    """Bytes handed out (``allocated``), taken from the driver (``reserved``), and both peaks.

    ``capacity`` is what the driver can give; without it there is no end.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.allocated = 0
        self.reserved = 0
        self.allocated_peak = 0
        self.reserved_peak = 0
        self._next = 0
        self._pools: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        self._free: dict[int, Block] = {}

    def allocate(self, nbytes: int) -> Block:
        """A block of at least so many bytes. Raises CardFullError."""
        size = max(BLOCK, -(-nbytes // BLOCK) * BLOCK)
        small = size <= SMALL
        pool = self._pools[0 if small else 1]
        place = bisect_left(pool, (size, -1))
        if place < len(pool):
            block = self._free.pop(pool.pop(place)[1])
            block.free = False
        else:
            block = self._segment(size, small)
        rest = block.size - size
        if rest >= BLOCK if small else rest > SMALL:
            self._split(block, size)
        self.allocated += block.size
        self.allocated_peak = max(self.allocated_peak, self.allocated)
        return block

    def release(self, block: Block) -> None:
        """Give a block back to the cache."""
        self.allocated -= block.size
        for other in (block.before, block.after):
            if other is not None and other.free:
                self._take_out(other)
                if other is block.before:
                    block.address = other.address
                    block.before = other.before
                    if block.before is not None:
                        block.before.after = block
                else:
                    block.after = other.after
                    if block.after is not None:
                        block.after.before = block
                block.size += other.size
        block.free = True
        self._free[block.address] = block
        insort(self._pools[0 if block.small else 1], (block.size, block.address))

    def empty_cache(self) -> None:
        """Give every segment that is wholly free back to the driver."""
        for block in list(self._free.values()):
            if block.before is None and block.after is None:
                self._take_out(block)
                self.reserved -= block.size

    def _segment(self, size: int, small: bool) -> Block:
        if small:
            length = SMALL_SEGMENT
        elif size < OWN_SEGMENT:
            length = LARGE_SEGMENT
        else:
            length = -(-size // SEGMENT_ROUND) * SEGMENT_ROUND
        if self.capacity is not None and self.reserved + length > self.capacity:
            self.empty_cache()
            if self.reserved + length > self.capacity:
                raise CardFullError(length)
        self.reserved += length
        self.reserved_peak = max(self.reserved_peak, self.reserved)
        block = Block(self._next, length, small)
        self._next += length
        return block

    def _split(self, block: Block, size: int) -> None:
        rest = Block(block.address + size, block.size - size, block.small)
        rest.before, rest.after = block, block.after
        if rest.after is not None:
            rest.after.before = rest
        block.after = rest
        block.size = size
        rest.free = True
        self._free[rest.address] = rest
        insort(self._pools[0 if rest.small else 1], (rest.size, rest.address))

    def _take_out(self, block: Block) -> None:
        del self._free[block.address]
        pool = self._pools[0 if block.small else 1]
        del pool[bisect_left(pool, (block.size, block.address))]
