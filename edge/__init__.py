"""The gateway beside the oven: camera, device, gate, outbox; and how its classifier is learnt."""
