"""What keeps watch over a certificate: unfamiliar frames, drift, and an audit of confident decisions.

numpy only: it runs on the gateway, beside the device.
"""
