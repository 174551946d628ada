"""Errors of the MQTT link."""

from shared.errors import CrustwatchError


class LinkDownError(CrustwatchError):
    """The connection to the broker is down, or went down before an acknowledgement came."""


class RefusedError(CrustwatchError):
    """The broker answered and said no: the text holds its reason (bad credentials, not authorised, quota)."""
