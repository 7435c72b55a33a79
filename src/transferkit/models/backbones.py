"""The registry of image backbones: plain facts about each family of ``keras.applications``, without importing Keras."""

from dataclasses import dataclass

from transferkit.errors import UnknownNameError


@dataclass(frozen=True)
class WeightFile:
    name: str
    url: str
    md5: str | None
    resolution: int | None


@dataclass(frozen=True, kw_only=True)
class Backbone:
    name: str
    keras_name: str
    preprocessing: str
    minimum_size: int = 32
    default_size: int = 64
    features: int
    widths: tuple[float, ...] = ()
    resolutions: tuple[int, ...] = (224,)
    batch_norm: bool = True

    def weight_files(self, *, width: float | None, image_size: int) -> list[WeightFile]:
        text = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}[width or 1.0]
        sizes = sorted(self.resolutions, key=lambda size: (abs(size - image_size), -size))
        base = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/"
        return [
            WeightFile(f"mobilenet_{text}_{s}_tf_no_top.h5", f"{base}mobilenet_{text}_{s}_tf_no_top.h5", None, s)
            for s in sizes
        ]


_BACKBONES = {
    "mobilenet": Backbone(
        name="mobilenet",
        keras_name="MobileNet",
        preprocessing="tf",
        features=1024,
        widths=(0.25, 0.5, 0.75, 1.0),
        resolutions=(128, 160, 192, 224),
    )
}


def list_backbones(pattern: str = "*") -> list[str]:
    """Return the names of the registered backbones."""
    from fnmatch import fnmatchcase

    return sorted(name for name in _BACKBONES if fnmatchcase(name, pattern))


def backbone_info(name: str) -> Backbone:
    """Return the record of one backbone."""
    if name not in _BACKBONES:
        raise UnknownNameError("backbone", name, _BACKBONES)
    return _BACKBONES[name]
