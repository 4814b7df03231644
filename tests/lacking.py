"""A machine that lacks something, for one Python program: `python tests/lacking.py <what> <arguments of python>`.

"landlock" and "namespaces" as in hostile.take_away; "capability": root without CAP_DAC_READ_SEARCH, as in Docker.
"""

import os
import sys
from pathlib import Path

PR_CAPBSET_DROP = 24

WAYS_OUT = {"capability": ", or give the gateway CAP_DAC_READ_SEARCH.", "landlock": "."}  # what ends each sentence


def lacking(what: str) -> list[str]:
    """What to begin a command with, in the place of the interpreter; of this machine as it is for ""."""
    return [sys.executable, __file__, what] if what else [sys.executable]


def main(what: str, *arguments: str) -> None:
    sys.path.append(str(Path(__file__).parents[1]))
    import hostile

    from gateway.simulation import sandbox

    if what == "capability":
        sandbox._call("prctl", PR_CAPBSET_DROP, sandbox.CAP_DAC_READ_SEARCH, 0, 0, 0)
    else:
        hostile.take_away(what)
    os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
