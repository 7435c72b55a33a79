"""MobileNet v1 in PyTorch with Keras's weights, as a careful person would write it: channels_last, inference mode."""

import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class MobileNet(nn.Module):
    """The features of Keras's MobileNet (width 1) on raw grey pixels of shape (n, 1, height, width)."""

    def __init__(self, backbone: Any, size: int) -> None:
        super().__init__()
        self.size = size
        layers = {layer.name: layer for layer in backbone.layers}
        self.strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
        self.first, self.first_norm = _conv(layers["conv1"], 2), _norm(layers["conv1_bn"])
        self.depthwise, self.depthwise_norm = nn.ModuleList(), nn.ModuleList()
        self.pointwise, self.pointwise_norm = nn.ModuleList(), nn.ModuleList()
        for block, stride in enumerate(self.strides, 1):
            self.depthwise.append(_depthwise(layers[f"conv_dw_{block}"], stride))
            self.depthwise_norm.append(_norm(layers[f"conv_dw_{block}_bn"]))
            self.pointwise.append(_conv(layers[f"conv_pw_{block}"], 1))
            self.pointwise_norm.append(_norm(layers[f"conv_pw_{block}_bn"]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = functional.interpolate(pixels.float(), (self.size, self.size), mode="bilinear", align_corners=False)
        x = (x / 127.5 - 1).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x = functional.relu6(self.first_norm(self.first(functional.pad(x, (0, 1, 0, 1)))))
        for index, stride in enumerate(self.strides):
            if stride == 2:
                x = functional.pad(x, (0, 1, 0, 1))
            x = functional.relu6(self.depthwise_norm[index](self.depthwise[index](x)))
            x = functional.relu6(self.pointwise_norm[index](self.pointwise[index](x)))
        return x.mean(dim=(2, 3))


def build(backbone: Any, size: int) -> MobileNet:
    return MobileNet(backbone, size).eval().to(memory_format=torch.channels_last)


def features(network: MobileNet, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    with torch.inference_mode():
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        return torch.cat([network(batch) for batch in pixels.split(batch_size)]).numpy()


def time_training(backbone: Any, size: int, data: Any, *, epochs: int, batch_size: int = 64) -> float:
    """Return the seconds of training a softmax layer on features that are computed once, with validation and test."""
    start = time.perf_counter()
    network, head, dropout = build(backbone, size), nn.Linear(1024, data.num_classes), nn.Dropout(0.2)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.004)
    train, validation, test = (torch.from_numpy(features(network, split.images)) for split in data)
    labels = torch.from_numpy(data.train.labels.copy())
    for _ in range(epochs):
        for batch in torch.randperm(len(train)).split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(head(dropout(train[batch])), labels[batch]).backward()
            optimizer.step()
        head(validation).argmax(dim=1)
    head(test).argmax(dim=1)
    return time.perf_counter() - start


def _conv(layer: Any, stride: int) -> nn.Conv2d:
    kernel = np.array(layer.kernel)
    conv = nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[0], stride, bias=False)
    conv.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    return conv


def _depthwise(layer: Any, stride: int) -> nn.Conv2d:
    kernel = np.array(layer.kernel)
    channels = kernel.shape[2]
    conv = nn.Conv2d(channels, channels, 3, stride, padding=1 if stride == 1 else 0, groups=channels, bias=False)
    conv.weight.data = torch.from_numpy(kernel.transpose(2, 3, 0, 1).copy())
    return conv


def _norm(layer: Any) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(layer.gamma.shape[0], eps=layer.epsilon)
    norm.weight.data, norm.bias.data = torch.from_numpy(np.array(layer.gamma)), torch.from_numpy(np.array(layer.beta))
    norm.running_mean = torch.from_numpy(np.array(layer.moving_mean))
    norm.running_var = torch.from_numpy(np.array(layer.moving_variance))
    return norm
