"""How many distinct users viewed, clicked or hid a post."""

from __future__ import annotations

from hashlib import blake2b

from msgspec import Struct

from streams.engine.rows import SEPARATOR
from streams.engine.state import State
from streams.hyperloglog import RANKS, REGISTERS, estimate, place_of

MAX_EXACT = 1_024
REGISTERS_A_ROW = 64


class Mark(Struct, frozen=True, array_like=True, gc=False):
    """Someone viewed, clicked or hid a post, at least once; its key tells nobody who."""


class Registers(Struct, frozen=True, array_like=True, gc=False):
    """64 of a sketch's registers, a byte each."""

    ranks: bytes


class Sketch(Struct, frozen=True, array_like=True, gc=False):
    """How many registers of a sketch have each rank."""

    registers_of_rank: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of users: more than are counted one by one."""
        return max(MAX_EXACT + 1, round(estimate(self.registers_of_rank)))


class DistinctUsers:
    """Counts the users of each action at a post, whatever the order of the events and however often
    each comes.

    64 bits of a digest stand for a user, so that rows need not be found when the user is erased:
    two of a million users of one post are taken for one once in 37 million posts. Up to 1,024 users
    are counted one by one, a row for each. More are estimated by a HyperLogLog sketch, which has a
    standard error of 1.6 % and at most 65 rows; an event changes two of them or none.
    """

    def __init__(self, state: State) -> None:
        self._marks = state.group_table("mark", Mark)
        self._registers = state.group_table("registers", Registers)
        self._sketches = state.group_table("sketch", Sketch)

    def add(self, post_id: str, action: str, user_id: str, count: int) -> int:
        """The count with a user, who may be among the `count` so far."""
        digest = digest_of(post_id, user_id)
        sketch = self._sketches.get(post_id, action)
        if sketch is not None:
            changed = self._raise(sketch, post_id, action, digest)
            return count if changed is sketch else self._keep(changed, post_id, action)
        key = _key(action, digest)
        if self._marks.get(post_id, key) is not None:
            return count
        self._marks.put(post_id, key, Mark())
        if count == MAX_EXACT:
            return self._sketch(post_id, action)
        return count + 1

    def _sketch(self, post_id: str, action: str) -> int:
        """Take the marks of an action into a sketch; O(the post's marks), once."""
        prefix = _key(action, "")
        sketch = Sketch((REGISTERS, *[0] * (RANKS - 1)))
        for key in [key for key, _ in self._marks.scan(post_id) if key.startswith(prefix)]:
            self._marks.delete(post_id, key)
            sketch = self._raise(sketch, post_id, action, key.removeprefix(prefix))
        return self._keep(sketch, post_id, action)

    def _keep(self, sketch: Sketch, post_id: str, action: str) -> int:
        self._sketches.put(post_id, action, sketch)
        return sketch.count

    def _raise(self, sketch: Sketch, post_id: str, action: str, digest: str) -> Sketch:
        """Take a digest into its register; the sketch that this makes, or the same."""
        register, rank = place_of(int(digest, 16))
        row, place = divmod(register, REGISTERS_A_ROW)
        key = _key(action, str(row))
        found = self._registers.get(post_id, key)
        ranks = bytearray(REGISTERS_A_ROW if found is None else found.ranks)
        former = ranks[place]
        if rank <= former:
            return sketch
        ranks[place] = rank
        self._registers.put(post_id, key, Registers(bytes(ranks)))
        counts = list(sketch.registers_of_rank)
        counts[former] -= 1
        counts[rank] += 1
        return Sketch(tuple(counts))


def digest_of(post_id: str, user_id: str) -> str:
    """What stands for a user among those who did something with a post: 64 bits in hex."""
    return blake2b(f"{post_id}\0{user_id}".encode(), digest_size=8).hexdigest()


def _key(action: str, rest: str) -> str:
    return f"{action}{SEPARATOR}{rest}"
