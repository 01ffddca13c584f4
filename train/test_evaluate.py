"""What is measured, and what is measured once."""

import pathlib
import tempfile
import unittest

import numpy as np
import torch

import costs
import evaluate
import inputs


class Counted:
    """Enlarges by repeating pixels, and counts."""

    name, digest = "counted", "0"

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return x.repeat(2, 0).repeat(2, 1)


class Evaluation(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.kept = pathlib.Path(self.folder.name)
        rng = np.random.default_rng(1)
        small = (rng.integers(40, 200, (2, 40, 60, 1)) + [30, 0, -30]).astype(np.uint8)
        drawings = small.repeat(2, 1).repeat(2, 2)  # which repeating pixels brings back
        self.frames = [drawings[t // 6 % 2] for t in range(24)]

    def tearDown(self):
        self.folder.cleanup()

    def test_a_held_drawing_is_enlarged_once(self):
        clip, network = inputs.Input("clip", self.frames, self.kept), Counted()
        evaluate.scores(network, clip, "clean", evaluate.NEAR, self.kept)
        self.assertEqual(network.calls, 4)

    def test_a_score_is_kept(self):
        clip, network = inputs.Input("clip", self.frames, self.kept), Counted()
        wanted = evaluate.NEAR | evaluate.STEADY
        first = evaluate.scores(network, clip, "clean", wanted, self.kept)
        again = evaluate.scores(network, clip, "clean", wanted, self.kept)
        self.assertEqual(network.calls, 4)
        self.assertEqual({k: first[k] for k in wanted}, {k: again[k] for k in wanted})
        other = inputs.Input("other", self.frames[::-1], self.kept)
        evaluate.scores(network, other, "clean", wanted, self.kept)
        self.assertEqual(network.calls, 8)

    def test_what_is_right_scores_so(self):
        picture = inputs.Input("picture", self.frames[:1], self.kept)
        found = evaluate.scores(Counted(), picture, "clean", evaluate.NEAR | evaluate.SEEN, self.kept)
        self.assertGreater(found["psnr"], 50)  # but for the rounding of code values
        self.assertGreater(found["ssimulacra2"], 95)
        self.assertLess(found["drift"], 0.3)

    def test_encoded_sources_are_kept(self):
        picture = inputs.Input("picture", self.frames[:1], self.kept)
        made = picture.source("jpeg 70")
        file, = self.kept.glob("*.npz")
        np.savez(file, codes=np.zeros_like(made))
        self.assertEqual(np.max(picture.source("jpeg 70")), 0)


class Costs(unittest.TestCase):
    def test_of_our_own(self):
        """3x3 kernels, 1 to 16 and 16 to 4; slopes are no parameters of theirs, all being one constant."""
        tensors = {"layers.0.weight": torch.zeros(16, 1, 3, 3), "layers.0.bias": torch.zeros(16),
                   "layers.0.slope": torch.zeros(16), "layers.1.weight": torch.zeros(4, 16, 3, 3),
                   "layers.1.bias": torch.zeros(4)}
        self.assertEqual(costs.of_own(tensors), (9 * 80 + 20, 9 * 80))

    def test_of_ncnn(self):
        """A stride, a transposed stride and a pixel shuffle change how often what follows is computed."""
        with tempfile.TemporaryDirectory() as folder:
            param = pathlib.Path(folder, "x.param")
            param.write_text("7767517\n5 5\nInput in 0 1 a\n"
                             "Convolution c 1 1 a b 0=8 1=2 3=2 5=1 6=96\n"
                             "Deconvolution d 1 1 b c 0=4 1=2 3=2 5=0 6=128\n"
                             "PixelShuffle s 1 1 c d 0=2\n"
                             "Convolution e 1 1 d e 0=3 1=3 5=1 6=27\n")
            self.assertEqual(costs.of_ncnn(param), (96 + 8 + 128 + 27 + 3, 96 // 4 + 128 // 4 + 27 * 4))


if __name__ == "__main__":
    unittest.main()
