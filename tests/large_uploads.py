"""Large uploads: FMUs that are right, and as large as they may be."""

import random
import zipfile
from collections.abc import Callable

from bad_uploads import described, entries, pack, variables

from gateway.simulation import intake


def with_variables(turn: int) -> bytes:
    """A good FMU of 19,000 variables, another one each turn."""
    return described("</ModelVariables>", f"<!-- {turn} -->{variables(19_000)}")


def with_data(turn: int) -> bytes:
    """A good FMU of 60 MB that cannot be packed."""
    data = random.Random(turn).randbytes(60 << 20)
    return pack(entries() | {"resources/data": data}, compression=zipfile.ZIP_STORED)


def with_files(turn: int) -> bytes:
    """A good FMU of nearly as many files as there may be."""
    return pack(entries() | {f"resources/{i}": b"%d" % turn for i in range(intake.MAX_ENTRIES - 50)})


LARGE: dict[str, Callable[..., bytes]] = {
    "19,000 variables": lambda turn=0: with_variables(turn),
    "60 MB": lambda turn=0: with_data(turn),
    "1,950 files": lambda turn=0: with_files(turn),
}
