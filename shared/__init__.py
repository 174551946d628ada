"""What edge and cloud must agree on: tasks, messages, topics, codecs, the broker and the rendered bakery."""

__version__ = "0.1.0"
