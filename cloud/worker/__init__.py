"""The cloud worker: takes escalated clips from a shared subscription and answers each with a BakeVerdict."""
