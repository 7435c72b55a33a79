"""The registry of image backbones: plain facts about every family of ``keras.applications``, without importing Keras.

Sizes were measured on Keras 3.15.1: `Backbone.default_size` is a round number at which the last feature map is at least
2x2 pixels. Licences of weights are those that Keras's documentation states for its files, and ``"unknown"`` where it
states none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

from transferkit.errors import InvalidInputError, UnknownNameError

Preprocessing = Literal["tf", "caffe", "torch", "unit", "none"]

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One published file of ImageNet weights without the classification head.

    Parameters
    ----------
    name : str
        The file's name in Keras's cache.
    url : str
        Where Keras downloads it from.
    resolution : int
        Pixels a side of the images that it was trained on, as Keras documents it.
    width : float, optional
        Width multiplier of the network, for the families that have one.
    md5, sha256 : str, optional
        The hash that Keras checks; it checks none for MobileNet and MobileNetV2.
    """

    name: str
    url: str
    resolution: int
    width: float | None = None
    md5: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """What is known about one image backbone.

    Parameters
    ----------
    name : str
        The name that `build_transfer_model` takes.
    keras_name : str
        The function of ``keras.applications`` that builds it.
    preprocessing : {"tf", "caffe", "torch", "none"}
        What its weights expect, in Keras's words: ``"tf"`` is [-1, 1], ``"caffe"`` is BGR minus the ImageNet mean,
        ``"torch"`` is [0, 1] normalised with the ImageNet mean and deviation, ``"none"`` is done inside the network.
    minimum_size : int
        Fewest pixels a side with which the network can be built.
    default_size : int
        Pixels a side that `build_transfer_model` resizes to: small, with a last feature map of 2x2 pixels or more.
    features : int
        Number of pooled features, at width 1.
    parameters : int
        Number of parameters without a head, at width 1.
    halvings : int
        How many times the network halves the image.
    batch_norm : bool
        Whether it holds batch normalisation.
    weights : tuple of WeightFile
        The published ImageNet weights.
    licence : str
        Licence of those weights, ``"unknown"`` where Keras states none.
    paper : str
        Who proposed it, and where to read it.

    Examples
    --------
    >>> mobilenet = backbone_info("mobilenet")
    >>> mobilenet.widths, mobilenet.resolutions
    ((0.25, 0.5, 0.75, 1.0), (128, 160, 192, 224))
    >>> mobilenet.weight_files(width=1.0, image_size=150)[0].resolution
    160
    """

    name: str
    keras_name: str
    preprocessing: Preprocessing
    minimum_size: int = 32
    default_size: int = 64
    features: int
    parameters: int
    halvings: int = 5
    batch_norm: bool = True
    weights: tuple[WeightFile, ...] = field(repr=False)
    licence: str = "unknown"
    paper: str

    @property
    def widths(self) -> tuple[float, ...]:
        """Width multipliers with published weights; empty if the family has no such option."""
        return tuple(sorted({file.width for file in self.weights if file.width is not None}))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolution of the images that published weights were trained on, in pixels a side."""
        return tuple(sorted({file.resolution for file in self.weights}))

    def weight_files(self, *, width: float | None = None, image_size: int) -> tuple[WeightFile, ...]:
        """Return the published files of a width, the one trained nearest to `image_size` first.

        Parameters
        ----------
        width : float, optional
            Width multiplier, for the families that have one.
        image_size : int
            Pixels a side.

        Returns
        -------
        tuple of WeightFile
            Each with its ``name``, ``url``, ``resolution`` and hash.

        Raises
        ------
        InvalidInputError
            If no weights were published for this width.
        """
        files = [file for file in self.weights if file.width == width]
        if not files:
            raise InvalidInputError(
                f"no ImageNet weights were published for {self.name!r} of width {width!r}. "
                f"Choose a width of {', '.join(map(str, self.widths)) or None}, or pretrained=False."
            )
        return tuple(sorted(files, key=lambda file: (abs(file.resolution - image_size), -file.resolution)))


def _one(
    name: str, folder: str, resolution: int = 224, md5: str | None = None, sha256: str | None = None
) -> tuple[WeightFile, ...]:
    return (WeightFile(name=name, url=f"{folder}/{name}", resolution=resolution, md5=md5, sha256=sha256),)


def _mobilenet_files() -> Iterable[WeightFile]:
    for width, text in ((0.25, "2_5"), (0.5, "5_0"), (0.75, "7_5"), (1.0, "1_0")):
        for resolution in (128, 160, 192, 224):
            name = f"mobilenet_{text}_{resolution}_tf_no_top.h5"
            yield WeightFile(name=name, url=f"{_STORE}/mobilenet/{name}", resolution=resolution, width=width)


def _mobilenet_v2_files() -> Iterable[WeightFile]:
    for width in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4):
        for resolution in (96, 128, 160, 192, 224) if width <= 1 else (224,):
            name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{resolution}_no_top.h5"
            yield WeightFile(name=name, url=f"{_STORE}/mobilenet_v2/{name}", resolution=resolution, width=width)


def _mobilenet_v3_files(kind: str, hashes: Mapping[float, str]) -> Iterable[WeightFile]:
    for width, md5 in hashes.items():
        name = f"weights_mobilenet_v3_{kind}_224_{width}_float_no_top_v2.h5"
        yield WeightFile(name=name, url=f"{_STORE}/mobilenet_v3/{name}", resolution=224, width=width, md5=md5)


def _mobilenets() -> Iterable[Backbone]:
    yield Backbone(
        name="mobilenet",
        keras_name="MobileNet",
        preprocessing="tf",
        features=1024,
        parameters=3_228_864,
        weights=tuple(_mobilenet_files()),
        licence="Apache-2.0",
        paper="Howard et al. 2017, arXiv:1704.04861",
    )
    yield Backbone(
        name="mobilenet_v2",
        keras_name="MobileNetV2",
        preprocessing="tf",
        features=1280,
        parameters=2_257_984,
        weights=tuple(_mobilenet_v2_files()),
        licence="Apache-2.0",
        paper="Sandler et al. 2018, arXiv:1801.04381",
    )
    small = {0.75: "ebdb5cc8e0b497cd13a7c275d475c819", 1.0: "d3e8ec802a04aa4fc771ee12a9a9b836"}
    large = {0.75: "40af19a13ebea4e2ee0c676887f69a2e", 1.0: "07fb09a5933dd0c8eaafa16978110389"}
    for kind, features, parameters, hashes in (("small", 576, 939_120, small), ("large", 960, 2_996_352, large)):
        yield Backbone(
            name=f"mobilenet_v3_{kind}",
            keras_name=f"MobileNetV3{kind.capitalize()}",
            preprocessing="none",
            features=features,
            parameters=parameters,
            weights=tuple(_mobilenet_v3_files(kind, hashes)),
            paper="Howard et al. 2019, arXiv:1905.02244",
        )


def _vggs() -> Iterable[Backbone]:
    for depth, parameters, md5 in (
        (16, 14_714_688, "6d6bbae143d832006294945121d1f1fc"),
        (19, 20_024_384, "253f8cb515780f3b799900260a226db6"),
    ):
        yield Backbone(
            name=f"vgg{depth}",
            keras_name=f"VGG{depth}",
            preprocessing="caffe",
            features=512,
            parameters=parameters,
            batch_norm=False,
            weights=_one(f"vgg{depth}_weights_tf_dim_ordering_tf_kernels_notop.h5", f"{_STORE}/vgg{depth}", md5=md5),
            licence="CC-BY-4.0",
            paper="Simonyan and Zisserman 2014, arXiv:1409.1556",
        )


def _resnets() -> Iterable[Backbone]:
    for depth, version, parameters, md5 in (
        (50, 1, 23_587_712, "4d473c1dd8becc155b73f8504c6f6626"),
        (101, 1, 42_658_176, "88cf7a10940856eca736dc7b7e228a21"),
        (152, 1, 58_370_944, "ee4c566cf9a93f14d82f913c2dc6dd0c"),
        (50, 2, 23_564_800, "fac2f116257151a9d068a22e544a4917"),
        (101, 2, 42_626_560, "c0ed64b8031c3730f411d2eb4eea35b5"),
        (152, 2, 58_331_648, "ed17cf2e0169df9d443503ef94b23b33"),
    ):
        second = version == 2
        stem = f"resnet{depth}{'v2' if second else ''}"
        yield Backbone(
            name=f"resnet{depth}{'_v2' if second else ''}",
            keras_name=f"ResNet{depth}{'V2' if second else ''}",
            preprocessing="tf" if second else "caffe",
            features=2048,
            parameters=parameters,
            weights=_one(f"{stem}_weights_tf_dim_ordering_tf_kernels_notop.h5", f"{_STORE}/resnet", md5=md5),
            licence="unknown" if second else "MIT",
            paper="He et al. 2016, arXiv:1603.05027" if second else "He et al. 2015, arXiv:1512.03385",
        )


def _densenets() -> Iterable[Backbone]:
    for depth, features, parameters, md5 in (
        (121, 1024, 7_037_504, "30ee3e1110167f948a6b9946edeeb738"),
        (169, 1664, 12_642_880, "b8c4d4c20dd625c148057b9ff1c1176b"),
        (201, 1920, 18_321_984, "c13680b51ded0fb44dff2d8f86ac8bb1"),
    ):
        name = f"densenet{depth}_weights_tf_dim_ordering_tf_kernels_notop.h5"
        yield Backbone(
            name=f"densenet{depth}",
            keras_name=f"DenseNet{depth}",
            preprocessing="torch",
            features=features,
            parameters=parameters,
            weights=_one(name, f"{_STORE}/densenet", md5=md5),
            licence="BSD-3-Clause",
            paper="Huang et al. 2016, arXiv:1608.06993",
        )


def _inceptions() -> Iterable[Backbone]:
    for name, keras_name, minimum, default, features, parameters, md5, licence, paper in (
        (
            "inception_v3", "InceptionV3", 75, 128, 2048, 21_802_784, "bcbd6486424b2319ff4ef7d526e38f63",
            "Apache-2.0", "Szegedy et al. 2015, arXiv:1512.00567",
        ),
        (
            "inception_resnet_v2", "InceptionResNetV2", 75, 128, 1536, 54_336_736, "d19885ff4a710c122648d3b5c3b684e4",
            "Apache-2.0", "Szegedy et al. 2016, arXiv:1602.07261",
        ),
        (
            "xception", "Xception", 71, 96, 2048, 20_861_480, "b0042744bf5b25fce3cb969f33bebb97",
            "MIT", "Chollet 2016, arXiv:1610.02357",
        ),
    ):  # fmt: skip
        yield Backbone(
            name=name,
            keras_name=keras_name,
            preprocessing="tf",
            minimum_size=minimum,
            default_size=default,
            features=features,
            parameters=parameters,
            weights=_one(f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5", f"{_STORE}/{name}", 299, md5),
            licence=licence,
            paper=paper,
        )


def _nasnets() -> Iterable[Backbone]:
    for kind, resolution, features, parameters, md5 in (
        ("mobile", 224, 1056, 4_269_716, "1ed92395b5b598bdda52abe5c0dbfd63"),
        ("large", 331, 4032, 84_916_818, "d81d89dc07e6e56530c4e77faddd61b5"),
    ):
        url = f"{_STORE}/nasnet/NASNet-{kind}-no-top.h5"  # Keras keeps it under another name than the server's
        yield Backbone(
            name=f"nasnet_{kind}",
            keras_name=f"NASNet{kind.capitalize()}",
            preprocessing="tf",
            features=features,
            parameters=parameters,
            weights=(WeightFile(name=f"nasnet_{kind}_no_top.h5", url=url, resolution=resolution, md5=md5),),
            licence="Apache-2.0",
            paper="Zoph et al. 2017, arXiv:1707.07012",
        )


def _efficientnets() -> Iterable[Backbone]:
    for kind, resolution, features, parameters, md5 in (
        ("b0", 224, 1280, 4_049_571, "50bc09e76180e00e4465e1a485ddc09d"),
        ("b1", 240, 1280, 6_575_239, "74c4e6b3e1f6a1eea24c589628592432"),
        ("b2", 260, 1408, 7_768_569, "111f8e2ac8aa800a7a99e3239f7bfb39"),
        ("b3", 300, 1536, 10_783_535, "af6d107764bb5b1abb91932881670226"),
        ("b4", 380, 1792, 17_673_823, "ebc24e6d6c33eaebbd558eafbeedf1ba"),
        ("b5", 456, 2048, 28_513_527, "38879255a25d3c92d5e44e04ae6cec6f"),
        ("b6", 528, 2304, 40_960_143, "9ecce42647a20130c1f39a5d4cb75743"),
        ("b7", 600, 2560, 64_097_687, "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    ):
        folder = "https://storage.googleapis.com/keras-applications"
        yield Backbone(
            name=f"efficientnet_{kind}",
            keras_name=f"EfficientNet{kind.upper()}",
            preprocessing="none",
            features=features,
            parameters=parameters,
            weights=_one(f"efficientnet{kind}_notop.h5", folder, resolution, md5),
            paper="Tan and Le 2019, arXiv:1905.11946",
        )
    for kind, resolution, features, parameters, md5 in (
        ("b0", 224, 1280, 5_919_312, "893217f2bb855e2983157299931e43ff"),
        ("b1", 240, 1280, 6_931_124, "0e80663031ca32d657f9caa404b6ec37"),
        ("b2", 260, 1408, 8_769_374, "1dfe2e7a5d45b6632553a8961ea609eb"),
        ("b3", 300, 1536, 12_930_622, "f6abf7b5849ac99a89b50dd3fd532856"),
        ("s", 384, 1280, 20_331_360, "af0682fb74e8c54910f2d4393339c070"),
        ("m", 480, 1280, 53_150_388, "1b8dc055df72dde80d614482840fe342"),
        ("l", 480, 1280, 117_746_848, "b0b66b5c863aef5b46e8608fe1711615"),
    ):
        yield Backbone(
            name=f"efficientnet_v2_{kind}",
            keras_name=f"EfficientNetV2{kind.upper()}",
            preprocessing="none",
            features=features,
            parameters=parameters,
            weights=_one(f"efficientnetv2-{kind}_notop.h5", f"{_STORE}/efficientnet_v2", resolution, md5),
            paper="Tan and Le 2021, arXiv:2104.00298",
        )


def _convnexts() -> Iterable[Backbone]:
    for kind, keras_kind, features, parameters, sha256 in (
        ("tiny", "Tiny", 768, 27_820_128, "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
        ("small", "Small", 768, 49_454_688, "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
        ("base", "Base", 1024, 87_566_464, "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
        ("large", "Large", 1536, 196_230_336, "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
        ("xlarge", "XLarge", 2048, 348_147_968, "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
    ):
        yield Backbone(
            name=f"convnext_{kind}",
            keras_name=f"ConvNeXt{keras_kind}",
            preprocessing="none",
            features=features,
            parameters=parameters,
            batch_norm=False,
            weights=_one(f"convnext_{kind}_notop.h5", f"{_STORE}/convnext", sha256=sha256),
            paper="Liu et al. 2022, arXiv:2201.03545",
        )


_BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {
        backbone.name: backbone
        for family in (
            _mobilenets, _vggs, _resnets, _densenets, _inceptions, _nasnets, _efficientnets, _convnexts,
        )
        for backbone in family()
    }
)  # fmt: skip


def list_backbones(pattern: str = "*") -> list[str]:
    """Return the names of the registered backbones.

    Parameters
    ----------
    pattern : str, default "*"
        Only those that match, with ``*`` for any characters and ``?`` for one.

    Returns
    -------
    list of str
        In alphabetical order; empty if none matches.

    See Also
    --------
    transferkit.backbone_info : The facts about one of them.

    Examples
    --------
    >>> import transferkit as tk
    >>> tk.list_backbones("mobilenet*")
    ['mobilenet', 'mobilenet_v2', 'mobilenet_v3_large', 'mobilenet_v3_small']
    """
    return sorted(name for name in _BACKBONES if fnmatchcase(name, pattern))


def backbone_info(name: str) -> Backbone:
    """Return what is known about one backbone.

    Parameters
    ----------
    name : str
        One of `list_backbones`.

    Returns
    -------
    Backbone
        Preprocessing, sizes, weights, licence and paper.

    Raises
    ------
    UnknownNameError
        If no such backbone is registered; the message lists close matches.

    Examples
    --------
    >>> import transferkit as tk
    >>> info = tk.backbone_info("mobilenet")
    >>> info.features, info.default_size, info.resolutions
    (1024, 64, (128, 160, 192, 224))
    """
    found = _BACKBONES.get(str(name))
    if found is None:
        raise UnknownNameError("backbone", name, sorted(_BACKBONES))
    return found
