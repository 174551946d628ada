"""The gateway: camera -> device -> gate -> outbox -> MQTT, and verdicts back to retained state topics."""
