"""Tensors to and from NumPy, PyTorch and TensorFlow: without copies, and no view outlives its memory."""

import ctypes
import gc
import sys
import unittest
import weakref

from ipcnet import media, tensor as tensor_module
from ipcnet.media import Tensor
from ipcnet.status import IpcnetError

from .vectors import needs


class Owner(bytearray):
    """Bytes that can be looked at weakly."""


def watched(data):
    """A tensor of uint8 over memory of its own, and a weak reference to that memory."""
    owner = Owner(data)
    return Tensor("uint8", (len(data),), owner), weakref.ref(owner)


class Plain(unittest.TestCase):
    def test_reach_and_names_are_checked(self):
        for bad in (lambda: Tensor("float31", (1,), bytes(8)), lambda: Tensor("float32", (3,), bytes(8)), lambda: Tensor("float32", (2,), bytes(8), (2,)), lambda: Tensor("float32", (2,), bytes(8), (1, 1)),
                    lambda: Tensor("float32", (-1,), bytes(8)), lambda: Tensor("float32x1", (1,), bytes(8)), lambda: Tensor("float32x", (1,), bytes(8))):
            with self.assertRaises(IpcnetError):
                bad()
        self.assertEqual(Tensor("float32x4", (2,), bytes(32)).item_bytes, 16)
        self.assertEqual(Tensor("float64", (2, 0, 3), b"").strides, (3, 3, 1))

    def test_dlpack_between_two_tensors_shares_memory_and_frees_it(self):
        first, alive = watched(b"abcd")
        second = Tensor.from_dlpack(first)
        self.assertEqual((second.dtype, second.shape, bytes(second.data)), ("uint8", (4,), b"abcd"))
        second.data[0] = ord("z")
        self.assertEqual(bytes(first.data), b"zbcd")
        del first
        gc.collect()
        self.assertIsNotNone(alive(), "the memory lives while somebody looks at it")
        view = second.data[1:]
        del second
        gc.collect()
        self.assertEqual(bytes(view), b"bcd")
        del view
        gc.collect()
        self.assertIsNone(alive(), "and goes with the last view")

    def test_a_capsule_that_nobody_takes_is_given_up(self):
        tensor, alive = watched(b"abcd")
        for _ in range(100):
            tensor.__dlpack__()
        kept = tensor.__dlpack__()
        tensor.__dlpack__(max_version=(1, 0))
        tensor_module._sweep()
        self.assertEqual(len(tensor_module._waiting), 1)
        del kept, tensor
        tensor_module._sweep()
        gc.collect()
        self.assertIsNone(alive())

    def test_a_capsule_is_taken_once(self):
        tensor, _ = watched(b"abcd")
        capsule = tensor.__dlpack__()
        self.assertEqual(bytes(tensor_module._import(capsule).data), b"abcd")
        with self.assertRaises(IpcnetError):
            tensor_module._import(capsule)
        with self.assertRaises(TypeError if sys.version_info < (3, 0) else (IpcnetError, TypeError, ctypes.ArgumentError)):
            tensor_module._import(object())

    def test_negative_and_repeating_strides_are_gathered(self):
        source = Tensor("uint8", (3,), b"abc")
        for strides, expected in (((-1,), b"cba"), ((0,), b"aaa")):
            capsule = source.__dlpack__()
            managed = tensor_module._Managed.from_address(tensor_module._capsule_pointer(capsule, b"dltensor"))
            managed.tensor.strides[0] = strides[0]
            managed.tensor.byte_offset = 2 if strides[0] < 0 else 0
            self.assertEqual(bytes(tensor_module._import(capsule).data), expected)

    def test_a_copy_is_a_copy_and_other_devices_are_refused(self):
        tensor, _ = watched(b"abcd")
        copy = tensor_module._import(tensor.__dlpack__(copy=True))
        copy.data[0] = 0
        self.assertEqual(bytes(tensor.data), b"abcd")
        with self.assertRaises(BufferError):
            tensor.__dlpack__(dl_device=(2, 0))

    def test_dense_copies(self):
        transposed = Tensor("uint16", (2, 3), b"".join(number.to_bytes(2, "little") for number in range(6)), (1, 2))
        aligned = transposed._aligned_copy()
        self.assertEqual([int.from_bytes(aligned.data[i : i + 2], "little") for i in range(0, 12, 2)], [0, 2, 4, 1, 3, 5])
        self.assertEqual(tensor_module._address(aligned.data) % 64, 0)


@needs("numpy")
class NumPy(unittest.TestCase):
    def test_round_trips_without_copies(self):
        import numpy

        for array in (numpy.arange(6, dtype="<f4").reshape(2, 3), numpy.arange(24).reshape(2, 3, 4).transpose(2, 0, 1), numpy.arange(10, dtype="u1")[::3], numpy.array(5.5), numpy.array([1 + 2j]), numpy.array([True, False])):
            tensor = Tensor.from_numpy(array)
            back = media.decode("tensor", media.encode(tensor)).to_numpy()
            self.assertEqual((back.shape, back.dtype), (array.shape, array.dtype))
            self.assertTrue((back == array).all())
            self.assertTrue(numpy.shares_memory(tensor.to_numpy(), array))
            self.assertTrue((numpy.from_dlpack(tensor) == array).all())
            self.assertTrue((numpy.asarray(tensor) == array).all())

    def test_what_cannot_be_looked_at_is_copied(self):
        import numpy

        for array in (numpy.arange(6)[::-1], numpy.broadcast_to(numpy.arange(3), (2, 3)), numpy.arange(3, dtype=">f8"), numpy.zeros((2, 0, 3))):
            back = Tensor.from_numpy(array).to_numpy()
            self.assertEqual(back.shape, array.shape)
            self.assertTrue((back == array).all())
        with self.assertRaises(IpcnetError):
            Tensor.from_numpy(numpy.array(["a"]))

    def test_an_array_keeps_the_memory_of_its_message(self):
        tensor, alive = watched(bytes(range(8)))
        array = tensor.to_numpy()[2:4]
        other = __import__("numpy").from_dlpack(tensor)
        del tensor
        gc.collect()
        self.assertEqual((array.tolist(), other.tolist()), ([2, 3], list(range(8))))
        del array
        gc.collect()
        self.assertIsNotNone(alive())
        del other
        gc.collect()
        self.assertIsNone(alive())

    def test_a_consumer_that_refuses_says_so_and_leaks_nothing(self):
        import numpy

        owner = Owner(bytes(8))
        alive = weakref.ref(owner)
        tensor = Tensor("bfloat16", (4,), owner)
        with self.assertRaises((RuntimeError, BufferError)):
            numpy.from_dlpack(tensor)
        del tensor, owner
        tensor_module._sweep()
        gc.collect()
        self.assertIsNone(alive())


@needs("torch")
class Torch(unittest.TestCase):
    def test_round_trips_without_copies(self):
        import torch

        for source in (torch.arange(6, dtype=torch.float32).reshape(2, 3), torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1), torch.tensor([1.5, -2], dtype=torch.bfloat16), torch.tensor(3), torch.tensor([True, False]),
                       torch.tensor([1 + 2j]), torch.zeros(2, 0)):
            tensor = Tensor.from_torch(source)
            back = media.decode("tensor", bytearray(media.encode(tensor))).to_torch()
            self.assertEqual((back.dtype, back.shape), (source.dtype, source.shape))
            self.assertTrue(torch.equal(back, source))
            if source.numel():
                tensor.to_torch().view(-1 if source.is_contiguous() else source.shape).zero_()
                self.assertEqual(source.abs().sum().item() if source.dtype != torch.bool else source.any().item(), 0, "the same memory")

    def test_a_torch_tensor_keeps_the_memory_of_its_message(self):
        tensor, alive = watched(bytes(range(8)))
        seen = tensor.to_torch()[2:4]
        del tensor
        gc.collect()
        self.assertEqual(seen.tolist(), [2, 3])
        self.assertIsNotNone(alive())
        del seen
        gc.collect()
        self.assertIsNone(alive())

    def test_memory_of_torch_lives_as_long_as_the_tensor(self):
        import torch

        tensor = Tensor.from_torch(torch.arange(1000, dtype=torch.int64) * 3)
        gc.collect()
        junk = [torch.zeros(1000, dtype=torch.int64) for _ in range(50)]
        self.assertEqual(tensor.to_torch()[999].item(), 2997)
        del junk

    def test_gradients_conjugates_and_broadcasts(self):
        import torch

        self.assertEqual(Tensor.from_torch(torch.ones(2, requires_grad=True)).to_torch().tolist(), [1, 1])
        self.assertEqual(Tensor.from_torch(torch.tensor([1 + 2j]).conj()).to_torch().tolist(), [1 - 2j])
        self.assertEqual(Tensor.from_torch(torch.tensor([7, 8]).expand(3, 2)).to_torch().tolist(), [[7, 8]] * 3)


@needs("tensorflow")
class TensorFlow(unittest.TestCase):
    def test_round_trips(self):
        import tensorflow

        for source in (tensorflow.reshape(tensorflow.range(6, dtype=tensorflow.float32), (2, 3)), tensorflow.constant([1.5], tensorflow.bfloat16), tensorflow.constant(3), tensorflow.constant([[1, 2], [3, 4]], tensorflow.uint8)):
            tensor = Tensor.from_tensorflow(source)
            back = media.decode("tensor", bytearray(media.encode(tensor))).to_tensorflow()
            self.assertEqual((back.dtype, back.shape), (source.dtype, source.shape))
            self.assertTrue(bool(tensorflow.reduce_all(back == source)))

    def test_a_transposed_tensor_is_made_dense(self):
        self.assertEqual(Tensor("uint8", (2, 2), b"abcd", (1, 2)).to_tensorflow().numpy().tolist(), [[97, 99], [98, 100]])

    def test_a_tensorflow_tensor_keeps_the_memory_of_its_message(self):
        source = Tensor("uint8", (64,), bytearray(range(64)))._aligned_copy()
        seen = source.to_tensorflow()
        del source
        gc.collect()
        self.assertEqual(seen.numpy().tolist(), list(range(64)))


if __name__ == "__main__":
    unittest.main()
