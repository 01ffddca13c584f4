"""The measures against what is known of them.

    python3 -m unittest
"""

import pathlib
import tempfile
import unittest

import numpy as np
from PIL import Image
from ssimulacra2 import compute_ssimulacra2

import clips
import metrics
import sources

RNG = np.random.default_rng(1)


def picture(height, width):
    """RGB with edges, gradients and noise."""
    y, x = np.mgrid[:height, :width]
    planes = [127 + 60 * np.sin(x / (5 + 9 * c)) + 50 * (y // (17 + c) % 2) for c in range(3)]
    return np.clip(np.stack(planes, -1) + RNG.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


class Pictures(unittest.TestCase):
    def test_ssimulacra2_is_the_packages(self):
        for height, width in (240, 320), (181, 257):
            target = picture(height, width)
            made = np.clip(target + RNG.normal(0, 6, target.shape), 0, 255).astype(np.uint8)
            made[40:90] = np.roll(made[40:90], 1, 1)
            with tempfile.TemporaryDirectory() as folder:
                files = [str(pathlib.Path(folder, name)) for name in ("target.png", "made.png")]
                for file, each in zip(files, (target, made)):
                    Image.fromarray(each).save(file)
                wanted = compute_ssimulacra2(*files)
            self.assertAlmostEqual(metrics.ssimulacra2(made, metrics.Seen(target)), wanted, delta=0.01)
        self.assertEqual(metrics.ssimulacra2(target, metrics.Seen(target)), 100)

    def test_ciede2000_is_sharmas(self):
        """Of the pairs in the paper's table 1."""
        pairs = [((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
                 ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
                 ((50, 0, 0), (50, -1, 2), 2.3669), ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
                 ((50, 2.5, 0), (73, 25, -18), 27.1492), ((50, 2.5, 0), (61, -5, 29), 22.8977),
                 ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
                 ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082)]
        for target, made, wanted in pairs:
            got = metrics.ciede2000(np.float32([[made]]), np.float32([[target]]))
            self.assertAlmostEqual(float(got[0, 0]), wanted, delta=1e-3)


class Clips(unittest.TestCase):
    def setUp(self):
        """A drawing held for three frames, then panned for two."""
        drawing = RNG.random((90, 120), np.float32)
        self.target = [drawing] * 3 + [np.roll(drawing, 2 * i, 1) for i in (1, 2)]
        self.still = [metrics.held(a, b) for a, b in zip(self.target, self.target[1:])]

    def test_the_target_itself_is_steady(self):
        self.assertEqual(metrics.shimmer(self.target, self.still), [0, 0])
        self.assertEqual(metrics.unsteadiness(self.target, self.target, self.still), 0)

    def test_a_wrong_but_steady_drawing_does_not_shimmer(self):
        self.assertEqual(metrics.shimmer([f * 0.5 + 0.1 for f in self.target], self.still), [0, 0])

    def test_flicker_is_measured(self):
        made = [f + (t % 2) * np.float32(4 / 255) for t, f in enumerate(self.target)]
        mean, worst = metrics.shimmer(made, self.still)
        self.assertAlmostEqual(mean, 4, places=3)
        self.assertAlmostEqual(worst, 4, places=3)
        self.assertAlmostEqual(metrics.unsteadiness(made, self.target, self.still), 4, places=3)

    def test_noise_on_held_drawings_is_measured(self):
        made = [f + RNG.normal(0, 1 / 255, f.shape) for f in self.target]
        mean, worst = metrics.shimmer(made, self.still)  # of normal noise with sigma sqrt(2)
        self.assertAlmostEqual(mean, np.sqrt(2) * np.sqrt(2 / np.pi), delta=0.03)
        self.assertAlmostEqual(worst, np.sqrt(2) * 3.2905, delta=0.2)

    def test_a_part_that_moves_is_not_held(self):
        before = np.zeros((100, 200), np.float32)
        after = before.copy()
        after[40:60, 20:30] = 1
        still = metrics.held(before, after)
        self.assertFalse(still[50, 30 + metrics.STILL - 1])
        self.assertTrue(still[50, 30 + metrics.STILL])

    def test_frames_that_do_not_move_are_late(self):
        made = [self.target[0]] * 5
        self.assertGreater(metrics.unsteadiness(made, self.target, self.still), 50)
        self.assertEqual(metrics.shimmer(made, self.still), [0, 0])


class Sources(unittest.TestCase):
    def test_a_clips_packages_have_one_role_and_are_not_trained_on(self):
        roles = {s["package"]: s["role"] for s in sources.listed()}
        for entry in clips.listed():
            found = {roles[p] for p in clips.packages(entry)}
            self.assertEqual(len(found), 1, entry["clip"])
            self.assertNotEqual(found, {"train"}, entry["clip"])

    def test_a_drawing_is_held_as_long_as_told(self):
        layer = {"drawings": ["a{}", 3, 5], "at": [10, 0], "step": [2, -1], "held": 3}
        self.assertEqual([clips.shown(layer, t) for t in (0, 2, 3, 6)],
                         [("a3", (10, 0)), ("a3", (10, 0)), ("a4", (12, -1)), ("a3", (14, -2))])


if __name__ == "__main__":
    unittest.main()
