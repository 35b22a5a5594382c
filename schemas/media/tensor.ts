/** Tensors: DLPack's description of an n-dimensional array in front of its numbers. docs/specs/media.md. */
import { beginHeader, bytesOf, fault, getSize, isCount, isZero, openHeader, setSize, type MediaFault, type MediaResult } from "./header.ts";
import { TENSOR_DIMENSIONS_MAX, TENSOR_EXTENT_MAX, TENSOR_HEADER_BYTES, TENSOR_LANES_MAX } from "./limits.ts";
import { tensorTypeName, tensorTypeOf, typeOfArray, viewAs, type TensorArray, type TensorType } from "./tensorType.ts";

export interface Tensor {
  type: TensorType;
  /** "float32", "uint8", "float32x4" … */
  dtype: string;
  shape: number[];
  /** Elements (not bytes) from one index to the next, per dimension; never negative. */
  strides: number[];
  /** All data bytes. */
  bytes: Uint8Array;
  /**
   * The data as numbers: element [i, j, …] begins at (i × strides[0] + j × strides[1] + …) × `numbersPerElement`. A view of the payload when that stands
   * aligned in its buffer, else of a copy; made at the first access.
   */
  readonly data: TensorArray;
  /** 1, times the lanes, times 2 for complex. */
  readonly numbersPerElement: number;
}

/** What is encoded. Strides default to row-major without gaps, the type to that of a typed array. */
export interface TensorInput {
  dtype?: string;
  shape: readonly number[];
  strides?: readonly number[];
  data: ArrayBufferView;
}

class DecodedTensor implements Tensor {
  readonly type: TensorType;
  readonly dtype: string;
  readonly shape: number[];
  readonly strides: number[];
  readonly bytes: Uint8Array;
  #data: TensorArray | undefined;
  constructor(type: TensorType, dtype: string, shape: number[], strides: number[], bytes: Uint8Array) {
    this.type = type;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.bytes = bytes;
  }
  get data(): TensorArray {
    return (this.#data ??= viewAs(this.type, this.bytes));
  }
  get numbersPerElement(): number {
    return this.type.lanes * (this.type.code === 5 ? 2 : 1);
  }
}

const MAGIC = "IPTE";

/** Reads a tensor; its data stays where it is. */
export function decodeTensor(payload: Uint8Array): MediaResult<Tensor> {
  const opened = openHeader(payload, MAGIC, TENSOR_HEADER_BYTES);
  if (!opened.ok) return opened;
  const { view, data } = opened.value;
  const type = { code: view.getUint8(16), bits: view.getUint8(17), lanes: view.getUint16(18, true) };
  const count = view.getUint8(20);
  const used = Math.min(count, TENSOR_DIMENSIONS_MAX) * 8;
  if (!isZero(view, 21, 32) || !isZero(view, 32 + used, 96) || !isZero(view, 96 + used, 160) || !isZero(view, 160, TENSOR_HEADER_BYTES)) return fault("notZero", "bytes without meaning are not zero");
  const dtype = type.lanes >= 1 && type.lanes <= TENSOR_LANES_MAX ? tensorTypeName(type) : undefined;
  if (dtype === undefined) return fault("badType", `no element type has code ${type.code}, ${type.bits} bits, ${type.lanes} lanes`);
  if (count > TENSOR_DIMENSIONS_MAX) return fault("badShape", `${count} dimensions, at most ${TENSOR_DIMENSIONS_MAX}`);
  const shape = Array.from({ length: count }, (_, i) => getSize(view, 32 + 8 * i));
  const strides = Array.from({ length: count }, (_, i) => getSize(view, 96 + 8 * i));
  return checkTensor(type, shape, strides, data.length) ?? { ok: true, value: new DecodedTensor(type, dtype, shape, strides, data) };
}

/** Bytes of one element. */
export function itemBytes({ bits, lanes }: TensorType): number {
  return (bits / 8) * lanes;
}

/**
 * Sides and strides within bounds, no element beyond the data, and not more elements than the data has room for (so that a copy is never larger than what came:
 * repetition by stride 0 is not a form of compression here).
 */
function checkTensor(type: TensorType, shape: readonly number[], strides: readonly number[], dataBytes: number): MediaFault | undefined {
  let product = 1;
  let empty = false;
  for (const [i, side] of shape.entries()) {
    if (!isCount(side, 0, TENSOR_EXTENT_MAX) || !isCount(strides[i], 0, TENSOR_EXTENT_MAX)) return fault("badShape", `dimension ${i}: side ${side}, stride ${strides[i]}: not from 0 to 2^40`);
    if (side === 0) empty = true;
    else product *= side;
    if (product > TENSOR_EXTENT_MAX) return fault("badShape", "more than 2^40 elements");
  }
  if (empty) return undefined;
  const room = Math.floor(dataBytes / itemBytes(type));
  if (product > room) return fault("outOfBounds", `${product} elements, the data has room for ${room}`);
  let last = 0;
  // Each product is below 2^80: rounded at most, and compared with a number far below.
  for (const [i, side] of shape.entries()) last += (side - 1) * strides[i]!;
  return last >= room ? fault("outOfBounds", `the last element is number ${last}, the data has room for ${room}`) : undefined;
}

/** Row-major strides without gaps. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * Math.max(1, shape[i + 1]!);
  return strides;
}

export function tensorPayloadBytes(input: TensorInput): number {
  return TENSOR_HEADER_BYTES + input.data.byteLength;
}

/** Writes header and data into `out`, which has exactly `tensorPayloadBytes(input)` bytes. */
export function encodeTensorInto(input: TensorInput, out: Uint8Array): MediaResult<undefined> {
  const { dtype, shape, data } = input;
  const type = dtype === undefined ? typeOfArray(data) : tensorTypeOf(dtype);
  if (type === undefined) return fault("badType", dtype === undefined ? "name the dtype of data that is not a typed array" : `there is no element type ${dtype}`);
  if (shape.length > TENSOR_DIMENSIONS_MAX) return fault("badShape", `${shape.length} dimensions, at most ${TENSOR_DIMENSIONS_MAX}`);
  const strides = input.strides ?? denseStrides(shape);
  if (strides.length !== shape.length) return fault("badShape", `${strides.length} strides for ${shape.length} dimensions`);
  const refused = checkTensor(type, shape, strides, data.byteLength);
  if (refused) return refused;
  if (out.length !== tensorPayloadBytes(input)) return fault("badLength", `${out.length} bytes of room, ${tensorPayloadBytes(input)} needed`);
  const view = beginHeader(out, MAGIC, TENSOR_HEADER_BYTES, data.byteLength);
  view.setUint8(16, type.code);
  view.setUint8(17, type.bits);
  view.setUint16(18, type.lanes, true);
  view.setUint8(20, shape.length);
  for (const [i, side] of shape.entries()) {
    setSize(view, 32 + 8 * i, side);
    setSize(view, 96 + 8 * i, strides[i]!);
  }
  out.set(bytesOf(data), TENSOR_HEADER_BYTES);
  return { ok: true, value: undefined };
}
