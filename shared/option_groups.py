"""Options that several commands share, written once: a dataclass of options is one parameter of a command.

    @dataclass(frozen=True)
    class Light:
        lamp: Annotated[str, typer.Option(help="Which lamp.")] = "left"

    @app.command()
    @grouped
    def read(book: str, light: Light = Light()) -> None: ...

gives `read --lamp left BOOK`. A default of the parameter sets other defaults for that command.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with each parameter that is a dataclass replaced by the dataclass's fields, as keywords."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type[Any], list[str]]] = {}
    plain: list[inspect.Parameter] = []
    options: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not (isinstance(kind, type) and is_dataclass(kind)):
            plain.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        given = None if parameter.default is inspect.Parameter.empty else parameter.default
        inner = get_type_hints(kind, include_extras=True)
        groups[name] = (kind, [field.name for field in fields(kind)])
        for field in fields(kind):
            default = field.default if given is None else getattr(given, field.name)
            options.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if default is MISSING else default,
                    annotation=inner[field.name],
                )
            )

    @functools.wraps(command)
    def typed(**values: Any) -> None:
        made = {name: kind(**{key: values.pop(key) for key in keys}) for name, (kind, keys) in groups.items()}
        command(**values, **made)

    parameters = [*plain, *options]
    vars(typed)["__signature__"] = inspect.Signature(parameters)
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return typed
