"""A training begins as the network it is told to, and ends as what is exported."""

import pathlib
import tempfile
import unittest

import numpy as np
import torch

import export
import judged
import train
import weights

MODEL = pathlib.Path(__file__).resolve().parent.parent / "models/kizuna-s.safetensors"


class Begins(unittest.TestCase):
    def test_as_another(self):
        training = train.Training("kizuna-s", 10)
        training.begin_with(MODEL)
        x = np.random.default_rng(1).random((40, 52), np.float32)
        with torch.no_grad():
            for net in (training.net, training.mean):
                made = net(torch.from_numpy(x)[None, None])[0, 0].numpy()
                self.assertLess(np.abs(made - judged.own(MODEL)(x)).max(), 1e-3)  # the slope is rounded in the file

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
