"""Training: stream -> model -> checkpoint, one stage after the other, resumable; needs only numpy, scipy and torch.

Lightning Fabric, rich, safetensors and matplotlib are used where they are installed: for several devices, for the
progress bar, for the finished weights and for the picture of the curve.
"""

from cbldm.training.config import StageConfig, TrainingConfig, read_config
from cbldm.training.loop import train

__all__ = ["StageConfig", "TrainingConfig", "read_config", "train"]
