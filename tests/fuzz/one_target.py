"""Fuzzes one parser with atheris: `python tests/fuzz/one_target.py NAME CORPUS [libFuzzer options]`.

An exception other than BadInputError, an input that takes 10 s, or a process that grows past the memory limit ends
the run; libFuzzer writes the input that did it.
"""

from __future__ import annotations

import gc
import sys

import atheris

OURS = ("fuzz_targets", "file_targets", "message_targets", "wire_targets")
# Our packages are instrumented as they are imported, and the pure Python libraries that parse for them.
with atheris.instrument_imports(include=["shared", "cloud", "edge", "firmware_sim", "paho", "elftools", *OURS]):
    import fuzz_targets


def main() -> None:
    """Hand over to libFuzzer, which never returns."""
    target = fuzz_targets.BY_NAME[sys.argv[1]]

    def one_input(data: bytes) -> None:
        fuzz_targets.try_one(target, data)

    gc.freeze()  # what the imports left does not have to be looked at again
    atheris.Setup([sys.argv[0], *sys.argv[2:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
