"""Scores of spatial question answering: VSI-Bench and ScanQA."""
