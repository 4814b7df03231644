"""Validator: FMPy's validate_fmu on one unpacked FMU, confined as a zygote is. A script, started by uploads.py.

    python -I validator.py <descriptor of a stream> <directory of the unpacked FMU> <uid if root> <bytes of memory>

READY goes into the stream, then what it found as one JSON list of sentences; no list is an answer, too.
"""

import os
import sys
from typing import NoReturn

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from gateway.simulation import keeper, sandbox

READY = b"\n"  # before this it was our own fault
CPU_SECONDS = 20
NAMES_CHECKED = 1_000  # FMPy takes milliseconds to parse each name
MOST_PROBLEMS, PROBLEM_TEXT = 20, 300


def problems(directory: str) -> list[str]:
    """What validate_fmu says; of a model with very many variables, all but what it says about their names."""
    from fmpy import read_model_description
    from fmpy.model_description import ValidationError
    from fmpy.validation import validate_fmu

    try:
        if len(read_model_description(directory, validate=False).modelVariables) <= NAMES_CHECKED:
            return list(validate_fmu(directory))
        read_model_description(directory, validate=True, validate_model_structure=True)
    except ValidationError as error:
        return list(error.problems)
    except Exception as error:  # FMPy raises whatever its parsing met
        return [str(error)]
    return []


def main() -> NoReturn:
    stream, directory, uid, memory = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    missing = keeper.keep(stream, uid)
    sandbox.silence()
    sandbox.only_descriptor(stream)
    import json
    import resource

    import fmpy.validation  # noqa: F401
    import lark  # noqa: F401
    import lxml.etree  # noqa: F401

    statm = os.open("/proc/self/statm", os.O_RDONLY)
    sandbox.confine_zygote(directory, uid, own_user_namespace=not missing)
    address_space = int(os.pread(statm, 100, 0).split()[0]) * resource.getpagesize()
    sandbox.limit(cpu=CPU_SECONDS, fsize=0, **{"as": address_space + memory})
    os.write(stream, READY)
    found = [p[:PROBLEM_TEXT] for p in problems(directory)[:MOST_PROBLEMS]]
    os.write(stream, json.dumps(found).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
