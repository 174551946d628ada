"""Where bakes come from: rendered ones, folders of photographs or clips, video files."""

from edge.gateway.sources.bake import Skipped, SourceBake, SourceItem
from edge.gateway.sources.files import open_path

__all__ = ["Skipped", "SourceBake", "SourceItem", "open_path"]
