"""Engines without a language model: spatial features and a small head that reads verdicts off them (decision 0126)."""
