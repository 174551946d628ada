"""Our gate against the usual rules for hard examples, on the same logits."""
