"""Pictures, folders and video files as frames for the model."""

from cloud.media.footage import Footage
from cloud.media.pictures import read_pictures
from cloud.media.video import READERS, read_video

__all__ = ["READERS", "Footage", "read_pictures", "read_video"]
