"""Supervised fine-tuning of checkpoints of the published layout (`crustwatch cloud train --model`, decision 0125)."""
