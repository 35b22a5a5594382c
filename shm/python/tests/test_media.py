"""Media payloads: the vectors that TypeScript and C run, and what NumPy sees."""

import random
import unittest

from ipcnet import media
from ipcnet.media import Audio, File, Haptic, MediaFault, PointField, Points, Tensor, Video

from .vectors import load, needs

VECTORS = load("media.json")
BASES = {row["name"]: row for row in VECTORS["good"]}


def spell(encoding, payload):
    """The payload's value in words, or its fault, as the vectors have it."""
    try:
        value = media.decode(encoding, payload)
    except MediaFault as fault:
        return fault.code
    size = 0 if encoding == "file" and value.content is None else memoryview(value.content if encoding == "file" else value.data).nbytes
    joined = lambda numbers: "[" + ",".join(str(number) for number in numbers) + "]"
    if encoding == "tensor":
        return f"{value.dtype} {joined(value.shape)} {joined(value.strides)} {size}"
    if encoding == "video":
        planes = joined("/".join(str(number) for number in plane) for plane in value.planes)
        return f"{'encoded' if value.encoded else 'raw'} {value.fourcc} {'key' if value.key_frame else 'delta'} {value.width}x{value.height} {value.pts_ns} {planes} {size}"
    if encoding == "audio":
        return f"{value.format} {'planar' if value.planar else 'interleaved'} {value.channels}x{value.frames} {value.rate_hz} {value.pts_ns} {size}"
    if encoding == "points":
        fields = joined(f"{f.name} {f.type} {f.count} {f.offset_bytes}" for f in value.fields)
        return f"{value.count}x{value.stride_bytes} {value.columns} {'dense' if value.dense else 'sparse'} {value.time_ns} {fields} {size}"
    if encoding == "haptic":
        return f"{value.quantity} {value.channels}x{value.frames} {value.rate_hz} {value.pts_ns} {size}"
    return f"{'descriptor' if value.content is None else 'inline'} {value.name} {value.type or '-'} {value.size_bytes} {value.sha256.hex()} {size}"


class Vectors(unittest.TestCase):
    def test_every_payload_gives_its_value_and_encodes_to_the_same_bytes(self):
        for row in VECTORS["good"]:
            payload = bytes.fromhex(row["payload"])
            with self.subTest(row["name"]):
                self.assertEqual(spell(row["encoding"], payload), row["value"])
                self.assertEqual(media.encode(media.decode(row["encoding"], payload)), payload)

    def test_every_hostile_payload_gives_its_fault(self):
        for row in VECTORS["bad"]:
            base = BASES[row["base"]]
            payload = bytearray(bytes.fromhex(base["payload"] + row.get("append", "")))
            for at, text in row.get("edits", []):
                edit = bytes.fromhex(text)
                payload[at : at + len(edit)] = edit
            with self.subTest(row["name"]):
                self.assertEqual(spell(base["encoding"], payload[: row.get("keepBytes", len(payload))]), row["fault"])

    def test_schema_texts_and_hashes(self):
        for row in VECTORS["schemas"]:
            self.assertEqual(media.schema_text(row["encoding"], row["constraints"]), row["text"])
            self.assertEqual(media.schema_hash(row["encoding"], row["constraints"]), int(row["hash"], 16))

    def test_mutated_payloads_give_a_value_or_a_fault(self):
        chance = random.Random(20261122)
        for row in VECTORS["good"]:
            payload = bytes.fromhex(row["payload"])
            for _ in range(300):
                mutated = bytearray(payload)
                for _ in range(chance.randint(1, 4)):
                    mutated[chance.randrange(min(len(mutated), chance.choice((64, 700))))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
                if spell(row["encoding"], mutated) in ("tooShort", "badMagic", "badVersion", "badLength", "notZero", "badType", "badShape", "outOfBounds", "badName"):
                    continue
                self.assertEqual(media.encode(media.decode(row["encoding"], mutated)), bytes(mutated))


class Refusals(unittest.TestCase):
    def refused(self, value, code):
        with self.assertRaises(MediaFault) as caught:
            media.encode(value)
        self.assertEqual((caught.exception.code, caught.exception.status), (code, 209))

    def test_what_does_not_fit_is_refused_when_it_is_encoded(self):
        self.refused(Tensor("uint8", (1,) * 9, b"x"), "badShape")
        self.refused(Tensor("uint8", (4,), b"x", (0,)), "outOfBounds")
        self.refused(Video("RGB3", 2, 2, bytes(11)), "outOfBounds")
        self.refused(Video("????", 2, 2, bytes(12)), "badShape")
        self.refused(Video("RGB", 2, 2, bytes(12)), "badType")
        self.refused(Audio("s16", 2, 8000, bytes(6)), "outOfBounds")
        self.refused(Audio("s24", 2, 8000, bytes(6)), "badType")
        self.refused(Points([PointField("x", "f32", 2)], 4, bytes(8)), "outOfBounds")
        self.refused(Points([PointField("x y", "f32", 0)], 4, bytes(8)), "badName")
        self.refused(Haptic("force", 2, bytes(12)), "outOfBounds")
        self.refused(File("a/b", b""), "badName")
        self.refused(File("a", size_bytes=5), "badShape")

    def test_data_is_a_view_and_not_a_copy(self):
        payload = bytearray(media.encode(Tensor("uint8", (4,), b"abcd")))
        tensor = media.decode("tensor", payload)
        payload[192] = ord("z")
        self.assertEqual(bytes(tensor.data), b"zbcd")

    def test_a_files_content_is_told_from_another(self):
        file = media.decode("file", media.encode(File("a.txt", b"hello", "text/plain")))
        self.assertTrue(file.is_content(b"hello"))
        self.assertFalse(file.is_content(b"hallo"))


@needs("numpy")
class NumPy(unittest.TestCase):
    def test_video_planes_are_views(self):
        import numpy

        pixels = numpy.arange(2 * 4 * 3, dtype="u1").reshape(2, 4, 3)
        payload = bytearray(media.encode(Video.from_numpy(pixels, pts_ns=7)))
        frame = media.decode("video", payload)
        self.assertEqual((frame.fourcc, frame.pts_ns, frame.key_frame), ("RGB3", 7, True))
        seen = frame.to_numpy()
        self.assertTrue((seen == pixels).all())
        payload[128] = 99
        self.assertEqual(seen[0, 0, 0], 99)
        depth = numpy.array([[1, 500], [70, 65535]], dtype="<u2")
        self.assertTrue((media.decode("video", media.encode(Video.from_numpy(depth, "Z16 "))).to_numpy() == depth).all())
        nv12 = media.decode("video", media.encode(Video("NV12", 3, 3, bytes(range(9 + 8)))))
        self.assertEqual((nv12.to_numpy(0).shape, nv12.to_numpy(1).shape), ((3, 3), (2, 2, 2)))

    def test_audio_points_and_haptics(self):
        import numpy

        sound = media.decode("audio", media.encode(Audio("s16", 2, 48000, numpy.arange(6, dtype="<i2"))))
        self.assertEqual((sound.frames, sound.to_numpy().tolist()), (3, [[0, 1], [2, 3], [4, 5]]))
        planar = media.decode("audio", media.encode(Audio("f32", 2, 48000, numpy.arange(6, dtype="<f4"), planar=True)))
        self.assertEqual(planar.to_numpy().shape, (2, 3))
        cloud = numpy.zeros((2, 3), dtype=[("xyz", "<f4", (3,)), ("ring", "<u2")])
        cloud["xyz"][1, 2] = (1, 2, 3)
        points = media.decode("points", media.encode(Points.from_numpy(cloud, dense=True)))
        self.assertEqual((points.count, points.columns, points.dense, points.to_numpy()["xyz"][1, 2].tolist()), (6, 3, True, [1, 2, 3]))
        touch = media.decode("haptic", media.encode(Haptic("force", 5, numpy.ones(10, "<f4"))))
        self.assertEqual(touch.to_numpy().shape, (2, 5))


if __name__ == "__main__":
    unittest.main()
