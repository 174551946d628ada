"""Every error that crustwatch raises on purpose.

```
CrustwatchError                 exit code 1   the command failed
├── BadInputError               exit code 2   the input is wrong: the text says what and what would be right
├── MissingPartError            exit code 1   a broker, weights, compiler or extra is missing: says how to get it
└── DeviceError                 exit code 1   a board or an emulated chip stopped answering, or answered nonsense
```

The text of each is one line that a user can act on. `shared.cli.main` prints it and exits; nothing else does.
"""


class CrustwatchError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class BadInputError(CrustwatchError, ValueError):
    """A file, message, option or image is not what it should be."""

    exit_code = 2


class MissingPartError(CrustwatchError):
    """Something that this machine lacks is needed: the text names it and the way to get it."""


class DeviceError(CrustwatchError):
    """A classifier device (board, emulated chip or runtime) failed or broke its protocol."""
