"""A training begins as the network it is told to, and ends as what is exported."""

import pathlib
import tempfile
import unittest

import numpy as np
import torch
from torch.nn.functional import pad

import export
import judged
import train
import weights

MODEL = pathlib.Path(__file__).resolve().parent.parent / "models/kizuna-s.safetensors"


@torch.no_grad()
def difference(net):
    """From what MODEL makes of noise, at most; a slope is rounded in the file."""
    x = np.random.default_rng(1).random((40, 52), np.float32)
    return np.abs(net(torch.from_numpy(x)[None, None])[0, 0].numpy() - judged.own(MODEL)(x)).max()


class Begins(unittest.TestCase):
    def test_as_another(self):
        training = train.Training("kizuna-s", 10)
        training.begin_with(MODEL)
        for net in (training.net, training.mean):
            self.assertLess(difference(net), 1e-3)

    def test_as_a_narrower_one(self):
        training = train.Training("kizuna-m", 10)
        training.begin_with(MODEL)
        self.assertLess(difference(training.net), 1e-3)
        x = torch.ones(1, 1, 8, 8)
        training.net(x).sum().backward()
        for layer in training.net.layers:  # what was added learns, too
            self.assertGreater(float(layer.kernel.grad[-1].abs().max() + layer.kernel.grad[:, -1].abs().max()), 0)

    def test_as_a_shallower_one(self):
        training = train.Training("kizuna-l", 10)
        training.begin_with(MODEL)
        self.assertLess(difference(training.net), 0.1)

    def test_as_a_wider_one(self):
        """What nothing is made with is left out."""
        first, *hidden, last = weights.convolutions(MODEL)
        wide = [(pad(first[0], (0, 0) * 3 + (1, 0)), pad(first[1], (1, 0))),
                *((pad(w, (0, 0) * 2 + (1, 0) * 2), pad(b, (1, 0))) for w, b in hidden),
                (pad(last[0], (0, 0) * 2 + (1, 0)), last[1])]
        training = train.Training("kizuna-s", 10)
        training.net.expand(wide)
        self.assertLess(difference(training.net), 1e-3)

    def test_exported_again(self):
        training = train.Training("kizuna-s", 10)
        training.begin_with(MODEL)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = pathlib.Path(folder, "kizuna-s.pt")
            training.save(checkpoint)
            _, net = export.averaged(checkpoint)
            again = pathlib.Path(folder, "again.safetensors")
            again.write_bytes(weights.safetensors(export.tensors(net.convolutions()), {}))
            for (w, b), (v, c) in zip(weights.convolutions(again), weights.convolutions(MODEL)):
                self.assertLess((w - v).abs().max(), 2e-3)
                self.assertTrue(torch.equal(b, c))


if __name__ == "__main__":
    unittest.main()
