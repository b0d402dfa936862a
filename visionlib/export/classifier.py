"""`PictureClassifier`: pictures of any size in, probabilities out; all that happens to decoded pixels."""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.eval_mode import unwrap_model
from visionlib.export.resampling import PillowResample
from visionlib.inference.prediction import last_linear_inputs, predict
from visionlib.inference.preprocessing import scale_width
from visionlib.inference.trained_model import TrainedModel


class PictureClassifier(nn.Module):
    """A trained network with its preprocessing, for export: raw pixels of any height and width in.

    It computes in float32 on the CPU, whatever the run was trained in. A network for grayscale images takes pictures of
    one channel, one for colored images those of three; pixels are as decoded, with EXIF orientation applied and
    transparency laid over white.

    Args:
        model: it is not changed; the weights are copied.
    Attributes:
        image_size: height and width that pictures are resized to.
        has_embedding: whether the second output exists; see `visionlib.inference.Predictions.embeddings`.
    Raises:
        ModelError: if the size that pictures are decoded to is not known, or the network gives no row of logits.
    """

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        if model.image_size is None:
            raise ModelError(
                model.provenance,
                "does not say to which size pictures are decoded",
                "train it again, or give image_size to TrainedModel",
            )
        self.network = _copy_network(model)
        self.image_size, self.channels = model.image_size, model.channels
        self.resample = PillowResample(model.image_size, model.resize)
        self.register_buffer("scale", _per_channel([1 / (255 * value) for value in model.std]))
        pairs = zip(model.mean, model.std, strict=True)
        self.register_buffer("shift", _per_channel([-center / value for center, value in pairs]))
        self.register_buffer("temperature", torch.tensor(model.temperature or 1.0, dtype=torch.float32))
        self._add_shrinking(model.side_px)
        black = torch.zeros(1, model.channels, *model.image_size, dtype=torch.uint8)
        side_px = model.side_px
        trial = predict(self.network, black, mean=model.mean, std=model.std, side_px=side_px)
        self.has_embedding = trial.embeddings is not None
        self.eval()

    def forward(
        self, images: UInt8[Tensor, "n h w c"]
    ) -> tuple[Float32[Tensor, "n k"], Float32[Tensor, "n d"]] | tuple[Float32[Tensor, "n k"]]:
        """Return probabilities, calibrated where a temperature was fitted, and embeddings."""
        inputs = self.resample(images) * self.scale + self.shift
        if self.shrink_down is not None:
            inputs = self.shrink_down @ (inputs @ self.shrink_across)
        with last_linear_inputs(self.network) as latest:
            logits = self.network(inputs).to(torch.float32)
            probabilities = torch.softmax(logits / self.temperature, dim=1)
            return (probabilities, latest[0].to(torch.float32)) if self.has_embedding else (probabilities,)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        return ["probabilities", "embedding"] if self.has_embedding else ["probabilities"]

    def _add_shrinking(self, side_px: int | None) -> None:
        """Add the matrices that shrink images to the network's input size, as `prepare_inputs` does."""
        height, width = self.image_size
        down = across = None
        if side_px is not None and side_px != height:
            down = _bilinear_matrix(height, side_px)
            across = _bilinear_matrix(width, scale_width(height, width, side_px)).T.contiguous()
        self.register_buffer("shrink_down", down)
        self.register_buffer("shrink_across", across)


def _per_channel(values: list[float]) -> Float32[Tensor, "1 c 1 1"]:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def _bilinear_matrix(length: int, out_length: int) -> Float32[Tensor, "out in"]:
    """Return the matrix of torch's antialiased bilinear interpolation along one axis: what it makes of an identity."""
    identity = torch.eye(length, dtype=torch.float64)[None, None]
    size = (out_length, length)
    return F.interpolate(identity, size=size, mode="bilinear", antialias=True, align_corners=False)[0, 0].float()


def _copy_network(model: TrainedModel) -> nn.Module:
    network = unwrap_model(model.network)
    try:
        return copy.deepcopy(network).to("cpu", torch.float32).eval()
    except Exception as error:  # a network in memory may hold anything, and raise whatever it likes when copied
        name = type(network).__name__
        raise ModelError(name, f"cannot be copied ({error})", "build it by a function, and load its weights") from error
