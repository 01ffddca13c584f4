"""The networks: plain 3x3 convolutions at the source's size, a pixel shuffle, the source added.

What is trained isn't what runs: each convolution is trained as a sum of a 3x3 kernel, the identity and
the product of a wide 3x3 and a 1x1 convolution without anything between them, which is one 3x3
convolution again (Bhardwaj et al., "Collapsible Linear Blocks for Super-Efficient Super Resolution",
2022). The kernels are multiplied out in every step, which costs next to nothing beside the pictures.
"""

import torch
from torch import nn
from torch.nn import functional as F

# name: channels, hidden layers after the first one
SHAPES = {"kizuna-s": (16, 4), "kizuna-m": (32, 4), "kizuna-l": (64, 6)}
SLOPE = 0.1
SCALE = 2


def unchanged(channels):
    """The 3x3 kernel that gives its input."""
    weight = torch.zeros(channels, channels, 3, 3)
    weight[range(channels), range(channels), 1, 1] = 1
    return weight


class Collapsed(nn.Module):
    """A 3x3 convolution, trained through a wider one."""

    def __init__(self, inputs, outputs, wide):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.wide = nn.Parameter(torch.empty(wide, inputs, 3, 3))
        self.narrow = nn.Parameter(torch.empty(outputs, wide))
        self.bias = nn.Parameter(torch.zeros(outputs))
        identity = unchanged(outputs) if inputs == outputs else torch.zeros(outputs, inputs, 3, 3)
        self.register_buffer("identity", identity, persistent=False)
        nn.init.kaiming_normal_(self.kernel, a=SLOPE)
        nn.init.kaiming_normal_(self.wide, a=1)
        nn.init.normal_(self.narrow, std=0.1 / wide ** 0.5)
        with torch.no_grad():
            self.kernel.mul_(0.3 if inputs == outputs else 1)

    def weight(self):
        product = torch.einsum("ow,wihk->oihk", self.narrow, self.wide)
        return self.kernel + product + self.identity

    @torch.no_grad()
    def expand(self, weight, bias):
        """To what collapses into that. Outputs beyond it stay as they are; it reads no inputs beyond its own."""
        outputs, inputs = weight.shape[:2]
        whole = self.weight()
        whole[:outputs] = 0
        whole[:outputs, :inputs] = weight
        self.kernel.copy_(whole - self.identity)
        self.narrow.zero_()
        self.bias[:outputs] = bias

    def forward(self, x):
        weight = self.weight().contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, weight, self.bias, padding=1)


def same(layers):
    """(weight, bias) of a layer that changes nothing behind those."""
    channels = len(layers[-1][1])
    return unchanged(channels), torch.zeros(channels)


class Net(nn.Module):
    """[n][1][h][w] to [n][1][2 h][2 w], luma with black 0 and white 1."""

    def __init__(self, name):
        super().__init__()
        channels, hidden = SHAPES[name.removesuffix("-clean")]
        sizes = [1] + [channels] * (hidden + 1)
        wide = 4 * channels
        self.layers = nn.ModuleList(Collapsed(i, o, wide) for i, o in zip(sizes, sizes[1:]))
        self.last = Collapsed(channels, SCALE * SCALE, wide)
        with torch.no_grad():  # begins as nearest-neighbour enlargement
            self.last.kernel.mul_(0.01)

    def forward(self, x):
        first = y = F.leaky_relu(self.layers[0](x), SLOPE)
        for layer in self.layers[1:]:
            y = F.leaky_relu(layer(y), SLOPE)
        detail = self.last(y + first)
        return F.pixel_shuffle(detail + x, SCALE)

    def expand(self, convolutions):
        """To what computes with those, (weight, bias) each, as a narrower network has them (Chen et al., "Net2Net",
        2016). One with fewer layers is only met nearly: more of its values below zero are activated again."""
        *front, last = convolutions
        more = len(self.layers) - len(front)
        for layer, (weight, bias) in zip([*self.layers, self.last], [*front, *more * [same(front)], last], strict=True):
            layer.expand(weight, bias)

    def convolutions(self):
        """What runs: (weight [O][I][3][3], bias [O]) of each layer."""
        return [(c.weight().detach(), c.bias.detach()) for c in [*self.layers, self.last]]


def parameters(name):
    return sum(w.numel() + b.numel() for w, b in Net(name).convolutions())
