"""Messages signed end to end, so that a broker can pass them on or lose them but not write or change one."""

from shared.seal.checker import Checker, SealError
from shared.seal.envelope import Sealed
from shared.seal.replay import ReplayGuard
from shared.seal.seal import Seal
from shared.seal.signer import Signer

__all__ = ["Checker", "ReplayGuard", "Seal", "SealError", "Sealed", "Signer"]
