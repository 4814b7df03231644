"""Progress: how far a run got, as one number in memory that its process writes and the gateway reads.

The process stores the model's time after every step, which costs it a memory access; the gateway looks when somebody
watches, and at no other time. It maps nothing of it and believes nothing of it: what is read is any float at all.
docs/decisions/0012 says why no frames.
"""

import fcntl
import math
import mmap
import os
import struct

TIME = struct.Struct("=d")
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL  # nobody keeps more than this in it


def create() -> int:
    """In the gateway: the descriptor of such memory, to be handed to a run's process and closed after it."""
    descriptor = os.memfd_create("progress", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, TIME.pack(math.nan))
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    return descriptor


def read(descriptor: int) -> float:
    """In the gateway: seconds of model time, if the process is honest. NaN before its first step."""
    time: float = TIME.unpack(os.pread(descriptor, TIME.size, 0))[0]
    return time


def attach(descriptor: int) -> "memoryview[float]":
    """In the child: its element 0 is that number from now on; the descriptor is not needed any more."""
    return memoryview(mmap.mmap(descriptor, TIME.size)).cast("B").cast("d")
