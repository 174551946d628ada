"""The process in which iotcore runs: `python -m shared.broker.iotcore_child CONFIG`.

rumqttd has no shutdown: the process simply ends. A process of its own also contains its panics.
"""

from __future__ import annotations

import logging
import signal
import sys

import iotcore


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # rumqttd logs every packet as an error through its tracing spans.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # no Python handler runs while rumqttd holds the main thread
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    iotcore.IotCoreBroker(config_path=sys.argv[1]).run_forever()


if __name__ == "__main__":
    main()
