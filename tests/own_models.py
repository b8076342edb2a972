"""Networks as in a user's own file; see `test_user_models`."""

import torch
from own_parts import Block
from torch import nn
from torch.nn import functional as F

print("a user's file may print")  # noqa: T201 - it must not reach stdout

WEIGHTS = None


class Gelu(nn.Module):
    """Layer norm, GELU and a sine: operators that no format has in int8."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)
        self.up, self.down, self.head = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 10)

    def forward(self, x):
        y = self.stem(x).permute(0, 2, 3, 1)
        y = y + self.down(F.gelu(self.up(self.norm(y))))
        return self.head(torch.sin(y).mean((1, 2)))


class Concat(nn.Module):
    """Concatenation, pooling, a ReLU that is called twice, a shared convolution."""

    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = Block(3, 8, 2), Block(8, 8, 1), Block(8, 8, 1)
        self.mix, self.relu = nn.Conv2d(8, 8, 1, padding="same"), nn.ReLU(inplace=True)
        self.head, self.drop = nn.Linear(16, 10), nn.Dropout(0.2)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 2)
        x = self.relu(self.mix(self.relu(self.mix(x))))
        y = torch.cat([self.a(x), self.relu(self.b(x) + x)], 1)
        return self.head(self.drop(F.adaptive_avg_pool2d(y, 1).view(y.size(0), -1)))


class Attention(nn.Module):
    """An added parameter, and a torch module that tracing does not enter."""

    def __init__(self):
        super().__init__()
        self.stem, self.pos = Block(3, 16, 4), nn.Parameter(torch.randn(1, 64, 16) / 50)
        self.attn = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, x):
        t = self.stem(x).flatten(2).transpose(1, 2) + self.pos
        n = self.norm(t)
        t = t + self.attn(n, n, n, need_weights=False)[0]
        return self.head(t.mean(1))


class Transformer(Attention):
    """A whole block, with the operators of `Gelu` in it."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        t = self.stem(x).flatten(2).transpose(1, 2) + self.pos
        n = self.norm(t)
        t = t + self.attn(n, n, n, need_weights=False)[0]
        t = t + self.down(F.gelu(self.up(self.norm(t))))
        return self.head(torch.sin(t).mean(1))


class Functional(nn.Module):
    """Layers as functions, a branch on a shape, and unused arguments."""

    def __init__(self):
        super().__init__()
        self.w, self.bn = nn.Parameter(torch.randn(8, 3, 3, 3) / 5), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 10)

    def forward(self, x, *rest, scale=None):
        if x.shape[-1] > 16:
            x = F.avg_pool2d(x, 2)
        b = self.bn
        y = F.conv2d(x, self.w, padding="same")
        y = F.relu6(F.batch_norm(y, b.running_mean, b.running_var, b.weight, b.bias))
        return F.softmax(self.head(y.mean((2, 3))), 1)


class Overwrites(nn.Module):
    """An addition whose operand a ReLU modified in place."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu, self.head = nn.Conv2d(3, 8, 3), nn.ReLU(True), nn.Linear(8, 10)

    def forward(self, x):
        y = self.stem(x)
        z = self.relu(y)
        return self.head((y + z).mean((2, 3)))


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 10)

    def forward(self, x):
        if x.mean() > 0:
            x = x * 2
        return self.head(x.mean((2, 3)))


class Bessel(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 10)

    def forward(self, x):
        return self.head(torch.special.bessel_j0(x).mean((2, 3)))


class Forgetful(nn.Module):
    def forward(self, x):
        return F.dropout(x.flatten(1)[:, :64])


def resnet():
    import timm

    # A quarter of the usual width: the rounding error grows with the cube of a layer's inputs.
    return timm.create_model("resnet10t", num_classes=10, channels=(16, 32, 64, 128))


def from_file():
    torch.manual_seed(0)
    net = Concat()
    if WEIGHTS:
        net.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return net


def fails():
    raise ValueError("no such thing")


def leaves():
    raise SystemExit(3)


def number():
    return 3


def convolution():
    return nn.Conv2d(3, 4, 3)


def gives_tuple():
    class Pair(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)), x

    return Pair()


def one_picture():
    class One(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)).view(1, -1)

    return One()


def half():
    return Concat().half()


class _Spectrum(Concat):
    def forward(self, x):
        return torch.fft.fft(super().forward(x))


class _Winner(Concat):
    def forward(self, x):
        return super().forward(x).argsort(1)


def spectrum():
    return _Spectrum()


def winner():
    return _Winner()


def writes_into_its_input():
    class Writing(Concat):
        def forward(self, x):
            return super().forward(x.mul_(0.5))

    return Writing()


def looks_at_the_batch():
    class Whole(Concat):
        def forward(self, x):
            return super().forward(x) * x.mean()

    return Whole()


def data_parallel():
    return nn.DataParallel(nn.DataParallel(Concat()))


def compiled():
    return torch.compile(Concat())


def not_a_number():
    net = Concat()
    net.head.weight.data[0, 0] = float("nan")
    return net


def pruned():
    from torch.nn.utils import prune

    torch.manual_seed(2)
    net = Concat()
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            prune.l1_unstructured(module, "weight", amount=0.4)
    return net


def pruned_permanently():
    from torch.nn.utils import prune

    net = pruned()
    for module in net.modules():
        if prune.is_pruned(module) and isinstance(module, nn.Conv2d | nn.Linear):
            prune.remove(module, "weight")
    return net


network = nn.Linear(2, 2)
