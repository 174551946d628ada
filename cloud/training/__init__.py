"""Training of the small Spatial-MLLM checkpoint on rendered clips, and its evaluation."""
