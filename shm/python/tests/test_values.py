"""CBOR and records: what other languages write is read, and nothing breaks the readers."""

import random
import struct
import unittest

from ipcnet import cbor
from ipcnet.message import _can_frame
from ipcnet.records import Layout, RecordField
from ipcnet.status import IpcnetError, Status, status_text

from .vectors import needs


class Cbor(unittest.TestCase):
    def test_examples_of_the_standard(self):
        # RFC 8949, appendix A.
        for text, value in (("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000), ("1b000000e8d4a51000", 10**12), ("1bffffffffffffffff", 2**64 - 1), ("20", -1), ("3903e7", -1000), ("3bffffffffffffffff", -(2**64)),
                            ("f93c00", 1.0), ("fa47c35000", 100000.0), ("fb3ff199999999999a", 1.1), ("f4", False), ("f6", None), ("f7", None), ("4401020304", b"\1\2\3\4"), ("62c3bc", "ü"), ("83010203", [1, 2, 3]),
                            ("a26161016162820203", {"a": 1, "b": [2, 3]}), ("5f42010243030405ff", b"\1\2\3\4\5"), ("7f657374726561646d696e67ff", "streaming"), ("9f01820203ff", [1, [2, 3]]), ("bf6161019f6162ffff"[:8] + "ff", {"a": 1}),
                            ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z")):
            self.assertEqual(cbor.loads(bytes.fromhex(text)), value, text)

    def test_values_come_back(self):
        for value in (0, -(2**64), 2**64 - 1, 1.5, float("inf"), "", "a" * 70000, b"\0" * 300, [], {}, {"a": [None, True, {"b": b""}]}, (1, 2)):
            back = cbor.loads(cbor.dumps(value))
            self.assertEqual(back, list(value) if isinstance(value, tuple) else value)

    def test_what_is_wrong_is_refused(self):
        for text in ("", "18", "1c", "ff", "0000", "62c3", "62c328", "8301", "81" * 40 + "00", "a10102", "a261610161610 2".replace(" ", ""), "9bffffffffffffffff", "5bffffffffffffffff00", "bf61 61ff".replace(" ", ""), "5f6161ff", "f8ff", "fc", "a1", "5f", "82ff00"):
            with self.assertRaises(IpcnetError, msg=text) as caught:
                cbor.loads(bytes.fromhex(text))
            self.assertEqual(caught.exception.status, 200)
        itself = []
        itself.append(itself)
        for value in (object(), {1: 2}, 2**64, "\ud800", itself):
            with self.assertRaises(IpcnetError):
                cbor.dumps(value)

    def test_no_bytes_break_it(self):
        chance = random.Random(20261122)
        seed = cbor.dumps({"a": [1, -2, 1.5, "text", b"bytes", None, {"b": True}], "c": "x" * 30})
        for i in range(20_000):
            data = bytearray(seed if i % 2 else chance.randbytes(chance.randrange(40)))
            for _ in range(3):
                if data:
                    data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                value = cbor.loads(data)
            except IpcnetError:
                continue
            again = cbor.loads(cbor.dumps(value))
            self.assertEqual(repr(again), repr(value))


LAYOUT = {
    "name": "State", "hash": "0123456789abcdef", "sizeBytes": 24,
    "fields": [{"name": "angle", "type": "f64", "offsetBytes": 0, "unit": "rad", "minimum": -3, "maximum": 3}, {"name": "mode", "type": "u8", "offsetBytes": 12, "values": [[0, "Off"], [1, "Hold"]]}, {"name": "count", "type": "i32", "offsetBytes": 8}],
}


class Records(unittest.TestCase):
    def test_values_come_back(self):
        layout = Layout.from_description(LAYOUT)
        record = layout.encode({"angle": 1.25, "mode": "Hold", "count": -7})
        self.assertEqual(len(record), 24)
        self.assertEqual(layout.decode(record), {"angle": 1.25, "mode": 1, "count": -7})

    def test_absent_fields_are_left_out(self):
        layout = Layout("M", 16, [RecordField("a", "u16", 8), RecordField("b", "u16", 10)], presence_bytes=8)
        self.assertEqual(layout.decode(layout.encode({"b": 5})), {"b": 5})

    def test_nothing_is_clamped(self):
        layout = Layout.from_description(LAYOUT)
        good = {"angle": 0, "mode": 0, "count": 0}
        for bad in ({"angle": 4}, {"angle": float("nan")}, {"angle": "x"}, {"mode": 256}, {"mode": "On"}, {"count": 1.5}, {"count": None}, {"other": 1}):
            with self.assertRaises(IpcnetError, msg=bad) as caught:
                layout.encode({**good, **bad})
            self.assertEqual(caught.exception.status, 209)
        with self.assertRaises(IpcnetError):
            layout.encode({"angle": 0})
        with self.assertRaises(IpcnetError):
            layout.decode(bytes(23))

    def test_layouts_that_lie_are_refused(self):
        field = LAYOUT["fields"][0]
        for change in ({"sizeBytes": 7}, {"sizeBytes": "24"}, {"fields": None}, {"fields": [{**field, "offsetBytes": 17}]}, {"fields": [{**field, "offsetBytes": -1}]}, {"fields": [{**field, "type": "f16"}]}, {"fields": [{**field, "name": 5}]},
                       {"presenceBytes": 25}, {"fields": [{**field, "values": [1]}]}, {"fields": [field] * 9, "presenceBytes": 1}):
            self.assertIsNone(Layout.from_description({**LAYOUT, **change}), change)
        self.assertIsNone(Layout.from_description(None))

    @needs("numpy")
    def test_numpy_reads_records_in_place(self):
        import numpy

        layout = Layout.from_description(LAYOUT)
        records = bytearray(layout.encode({"angle": 1, "mode": 1, "count": 2}) + layout.encode({"angle": 2, "mode": 0, "count": 3}))
        seen = numpy.frombuffer(records, layout.numpy_dtype())
        self.assertEqual((seen["angle"].tolist(), seen["count"].tolist()), ([1.0, 2.0], [2, 3]))
        records[:8] = bytes(8)
        self.assertEqual(seen["angle"][0], 0)


class CanFrames(unittest.TestCase):
    def test_fields_stand_where_the_specification_says(self):
        record = struct.pack("<dIBB10x", 12.5, 0x123, 1 | 64, 3) + b"abc" + bytes(61)
        frame = _can_frame(record)
        self.assertEqual((frame.can_id, frame.data, frame.extended, frame.echo, frame.fd, frame.length_bytes, frame.time_us), (0x123, b"abc", True, True, False, 3, 12.5))
        self.assertEqual(_can_frame(struct.pack("<dIBB10x", 0, 1, 16, 8) + bytes(64))[1:2] + (True,), (b"", True))


class Statuses(unittest.TestCase):
    def test_words(self):
        self.assertEqual((status_text(203), status_text(1000), status_text(999)), ("not found", "application status", "unknown status"))
        self.assertEqual(str(IpcnetError(Status.CONFLICT, "taken")), "205 conflict: taken")


if __name__ == "__main__":
    unittest.main()
