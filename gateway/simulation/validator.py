"""Validator: FMPy's validate_fmu on one unpacked FMU, confined as a zygote is. forkserver.py forks it for uploads.py.

READY goes into the stream, then what it found as one JSON list of sentences; no list is an answer, too.
"""

import json
import os
import resource
from typing import NoReturn

from gateway.simulation import keeper, sandbox

READY = b"\n"  # before this it was our own fault
CPU_SECONDS = 5
LETTERS_CHECKED = 2_000  # FMPy takes half a millisecond to parse each letter of a name
MOST_PROBLEMS, PROBLEM_TEXT = 20, 300


def problems(directory: str) -> list[str]:
    """What validate_fmu says; of a model with very many variables, all but what it says about their names."""
    from fmpy import read_model_description
    from fmpy.model_description import ValidationError

    try:
        variables = read_model_description(directory, validate=False).modelVariables
        names = sum(len(variable.name) for variable in variables) <= LETTERS_CHECKED
        everything = {"validate_variable_names": names, "validate_model_structure": True}
        read_model_description(directory, validate=True, **everything)  # which is all that validate_fmu does
    except ValidationError as error:
        return list(error.problems)
    except Exception as error:  # its checks stumble over what the ones before them found
        return [f"FMPy cannot validate it: {type(error).__name__} {error}"]
    return []


def main(stream: int, directory: str, uid: int, memory: int) -> NoReturn:
    """`uid` is for root to become; `memory` in bytes is what it may add."""
    import lark  # noqa: F401  # FMPy does when it parses names; not in the forkserver, a tenth of what each run would copy

    missing = keeper.keep(stream, uid)
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    sandbox.confine_zygote(directory, uid, own_user_namespace=not missing)
    address_space = int(os.pread(statm, 100, 0).split()[0]) * resource.getpagesize()
    sandbox.limit(cpu=CPU_SECONDS, fsize=0, **{"as": address_space + memory})
    os.write(stream, READY)
    found = [p[:PROBLEM_TEXT] for p in problems(directory)[:MOST_PROBLEMS]]
    os.write(stream, json.dumps(found).encode())
    os._exit(0)
