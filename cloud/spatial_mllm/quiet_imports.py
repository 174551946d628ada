"""Keeps transformers from importing torchao.

transformers 5.23.0 imports torchao, where it is installed, whenever a model class is imported: a second of start-up
and warnings about CUDA libraries in every process, for a loader that is not used here. `cloud/quantise.py` imports
torchao itself when quantised weights are asked for. Imported before anything else of this package.
"""

from transformers import utils
from transformers.utils import import_utils


def _never(*_versions: str) -> bool:
    return False


import_utils.is_torchao_available = _never
vars(utils)["is_torchao_available"] = _never
