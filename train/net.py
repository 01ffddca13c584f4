"""The networks: plain 3x3 convolutions at the source's size, a pixel shuffle, the source added.

What is trained isn't quite what runs. To the kernel of a convolution with as many outputs as inputs the
identity is added. In the small networks there is a product, too, of a wide 3x3 and a 1x1 convolution
without anything between them, which is one 3x3 convolution again (Bhardwaj et al., "Collapsible Linear
Blocks for Super-Efficient Super Resolution", 2022). The kernels are multiplied out in every step, which
costs next to nothing beside the pictures. In the large one kernels are matrices, as its optimiser has
them, which gains more.
"""

import torch
from torch import nn
from torch.nn import functional as F

# name: channels, hidden layers after the first one
SHAPES = {"kizuna-s": (16, 4), "kizuna-s-clean": (16, 4), "kizuna-m": (32, 4), "kizuna-m-clean": (32, 4),
          "kizuna-l": (63, 7), "kizuna-l-clean": (64, 6)}
SMALL = 32  # channels
SLOPE = 0.1
SCALE = 2


def unchanged(channels):
    """The 3x3 kernel that gives its input."""
    weight = torch.zeros(channels, channels, 3, 3)
    weight[range(channels), range(channels), 1, 1] = 1
    return weight


class Convolution(nn.Module):
    """A 3x3 convolution. `kernels`, which are empty: `kernel`, of any shape, and what else it is trained by."""

    def __init__(self, inputs, outputs, **kernels):
        super().__init__()
        for name, kernel in kernels.items():
            self.register_parameter(name, nn.Parameter(kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.is_square = inputs == outputs
        identity = unchanged(outputs) if self.is_square else torch.zeros(outputs, inputs, 3, 3)
        self.register_buffer("identity", identity, persistent=False)
        nn.init.kaiming_normal_(self.kernel, a=SLOPE)
        with torch.no_grad():
            self.kernel.mul_(0.3 if self.is_square else 1)

    def weight(self):
        return self.kernel.view_as(self.identity) + self.identity

    @torch.no_grad()
    def expand(self, weight, bias):
        """To what has that. Outputs beyond it stay as they are; it reads no inputs beyond its own."""
        outputs, inputs = weight.shape[:2]
        whole = self.weight()
        whole[:outputs] = 0
        whole[:outputs, :inputs] = weight
        self.kernel.copy_((whole - self.identity).reshape(self.kernel.shape))
        self.bias[:outputs] = bias

    def forward(self, x):
        weight = self.weight().contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, weight, self.bias, padding=1)


class Matrix(Convolution):
    """Its kernel is one, [O][I 3 3]."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, kernel=torch.empty(outputs, inputs * 9))


class Collapsed(Convolution):
    """It is trained through a wider one as well."""

    def __init__(self, inputs, outputs, wide):
        super().__init__(inputs, outputs, kernel=torch.empty(outputs, inputs, 3, 3),
                         wide=torch.empty(wide, inputs, 3, 3), narrow=torch.empty(outputs, wide))
        nn.init.kaiming_normal_(self.wide, a=1)
        nn.init.normal_(self.narrow, std=0.1 / wide ** 0.5)

    def weight(self):
        product = torch.einsum("ow,wihk->oihk", self.narrow, self.wide)
        return self.kernel + product + self.identity

    @torch.no_grad()
    def expand(self, weight, bias):
        super().expand(weight, bias)
        self.narrow.zero_()


def narrowed(layers, channels):
    """With so many channels at most: left out, of all layers, are those that least is made of and with."""
    energy = sum(weight.flatten(1).norm(dim=1) * behind.transpose(0, 1).flatten(1).norm(dim=1)
                 for (weight, _), (behind, _) in zip(layers, layers[1:]))
    kept = energy.topk(min(channels, len(energy))).indices.sort().values
    first, *hidden, last = layers
    return [(first[0][kept], first[1][kept]), *((weight[kept][:, kept], bias[kept]) for weight, bias in hidden),
            (last[0][:, kept], last[1])]


def same(layers):
    """(weight, bias) of a layer that changes nothing behind those."""
    channels = len(layers[-1][1])
    return unchanged(channels), torch.zeros(channels)


class Net(nn.Module):
    """[n][1][h][w] to [n][1][2 h][2 w], luma with black 0 and white 1."""

    def __init__(self, name):
        super().__init__()
        self.channels, hidden = SHAPES[name]
        sizes = [1] + [self.channels] * (hidden + 1)
        self.layers = nn.ModuleList(self.convolution(i, o) for i, o in zip(sizes, sizes[1:]))
        self.last = self.convolution(self.channels, SCALE * SCALE)
        with torch.no_grad():  # begins as nearest-neighbour enlargement
            self.last.kernel.mul_(0.01)

    def forward(self, x):
        first = y = F.leaky_relu(self.layers[0](x), SLOPE)
        for layer in self.layers[1:]:
            y = F.leaky_relu(layer(y), SLOPE)
        detail = self.last(y + first)
        return F.pixel_shuffle(detail + x, SCALE)

    def convolution(self, inputs, outputs):
        is_small = self.channels <= SMALL
        return Collapsed(inputs, outputs, 4 * self.channels) if is_small else Matrix(inputs, outputs)

    def hidden_matrices(self):
        """Kernels from channels to as many channels, where they are matrices."""
        return [c.kernel for c in self.layers if c.is_square and c.kernel.dim() == 2]

    def expand(self, convolutions):
        """To what computes with those, (weight, bias) each, as a narrower network has them (Chen et al., "Net2Net",
        2016). One with fewer layers is only met nearly: more of its values below zero are activated again. So is a
        wider one, of which some channels are left out."""
        *front, last = narrowed(convolutions, self.channels)
        more = len(self.layers) - len(front)
        for layer, (weight, bias) in zip([*self.layers, self.last], [*front, *more * [same(front)], last], strict=True):
            layer.expand(weight, bias)

    def convolutions(self):
        """What runs: (weight [O][I][3][3], bias [O]) of each layer."""
        return [(c.weight().detach(), c.bias.detach()) for c in [*self.layers, self.last]]


def parameters(name):
    return sum(w.numel() + b.numel() for w, b in Net(name).convolutions())
