"""Classifiers behind one interface: boards, emulated or real, and runtimes on this machine.

```
with open_device("emulated") as device:
    found = device.classify(image)  # uint8 [48, 48, 3] RGB
```
"""

from edge.devices.device import Device, DeviceInfo, DeviceKind, DeviceStatistics
from edge.devices.opening import NAMES, open_device

__all__ = ["NAMES", "Device", "DeviceInfo", "DeviceKind", "DeviceStatistics", "open_device"]
