/**
 * The wire form of messages given by a list of fields (serial): the fields one behind the other, little-endian, without gaps. Raw integers and
 * floats on the wire, physical values in the record. Nothing is clamped; what does not fit is refused with the field's name.
 */
import { DecodeFault, EncodeFault } from "../dbc/faults.ts";
import { FIELD_SIZE_BYTES, isInLimits, isScaled, layoutFromFields, readField, readRecord, writeField, writeRecord, type FieldDefinition, type FieldType, type RecordFault, type RecordField, type RecordLayout } from "./layout.ts";

export interface FieldsCodec {
  readonly layout: RecordLayout;
  /** Exactly so many bytes make a message. */
  readonly wireBytes: number;
  /** The field that the last refused `unpackInto` or `packInto` stumbled over. */
  readonly faultField: string | undefined;
  /** Wire bytes at `at` to a record at `outAt`; 0 or a DecodeFault (badLength, outOfRange, notANumber). */
  unpackInto(view: DataView, at: number, lengthBytes: number, outView: DataView, outAt: number): number;
  /** Record at `recordAt` to `wireBytes` bytes at `outAt`; 0 or an EncodeFault (outOfRange, notANumber). */
  packInto(recordView: DataView, recordAt: number, outView: DataView, outAt: number): number;
}

interface WireField {
  definition: FieldDefinition;
  field: RecordField;
  /** The same place seen with the wire's type. */
  wire: RecordField;
  scaled: boolean;
  factor: number;
  offset: number;
  /** What the wire's integer type can hold; undefined for floats. */
  limits: { minimum: number; maximum: number } | undefined;
}

export function compileFields(name: string, fields: readonly FieldDefinition[]): FieldsCodec {
  return new Codec(name, fields);
}

/** Physical values to wire bytes; typed rejections as in `writeRecord`. */
export function packFields(codec: FieldsCodec, values: Readonly<Record<string, unknown>>): { ok: true; data: Uint8Array } | RecordFault {
  const record = new DataView(new ArrayBuffer(codec.layout.sizeBytes));
  const written = writeRecord(codec.layout, values, record);
  if (!written.ok) return written;
  const data = new Uint8Array(codec.wireBytes);
  const code = codec.packInto(record, 0, new DataView(data.buffer), 0);
  if (code === EncodeFault.ok) return { ok: true, data };
  const field = codec.faultField!;
  return { ok: false, code: code === EncodeFault.notANumber ? "notANumber" : "outOfRange", field, text: `${field}: ${String(values[field])} does not fit the wire` };
}

/** Wire bytes to physical values. */
export function unpackFields(codec: FieldsCodec, bytes: Uint8Array): { ok: true; values: Record<string, number | bigint> } | { ok: false; code: "badLength" | "outOfRange" | "notANumber"; field: string | undefined } {
  const record = new DataView(new ArrayBuffer(codec.layout.sizeBytes));
  const code = codec.unpackInto(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength, record, 0);
  if (code === DecodeFault.ok) return { ok: true, values: readRecord(codec.layout, record) };
  if (code === DecodeFault.badLength) return { ok: false, code: "badLength", field: undefined };
  return { ok: false, code: code === DecodeFault.notANumber ? "notANumber" : "outOfRange", field: codec.faultField };
}

class Codec implements FieldsCodec {
  readonly layout: RecordLayout;
  readonly wireBytes: number;
  readonly #fields: readonly WireField[];
  #fault = -1;

  constructor(name: string, definitions: readonly FieldDefinition[]) {
    this.layout = layoutFromFields(name, definitions);
    let at = 0;
    this.#fields = definitions.map((definition, index): WireField => {
      const field = this.layout.fields[index]!;
      const wire = { ...field, type: definition.type, offsetBytes: at };
      at += FIELD_SIZE_BYTES[definition.type];
      return { definition, field, wire, scaled: isScaled(definition), factor: definition.factor ?? 1, offset: definition.offset ?? 0, limits: integerLimits(definition.type) };
    });
    this.wireBytes = at;
  }

  get faultField(): string | undefined {
    return this.#fields[this.#fault]?.definition.name;
  }

  unpackInto(view: DataView, at: number, lengthBytes: number, outView: DataView, outAt: number): number {
    if (lengthBytes !== this.wireBytes) {
      this.#fault = -1;
      return DecodeFault.badLength;
    }
    // Padding is zeroed, so that equal values give equal records.
    for (let offset = 0; offset < this.layout.sizeBytes; offset += 8) outView.setFloat64(outAt + offset, 0, true);
    for (let index = 0; index < this.#fields.length; index++) {
      const { wire, field, scaled, factor, offset } = this.#fields[index]!;
      const raw = readField(wire, view, at);
      const value = scaled ? Number(raw) * factor + offset : raw;
      const code = judge(value, field);
      if (code !== 0) {
        this.#fault = index;
        return code;
      }
      writeField(field, outView, outAt, value);
    }
    return DecodeFault.ok;
  }

  packInto(recordView: DataView, recordAt: number, outView: DataView, outAt: number): number {
    for (let index = 0; index < this.#fields.length; index++) {
      const { wire, field, scaled, factor, offset, limits } = this.#fields[index]!;
      const value = readField(field, recordView, recordAt);
      let code = judge(value, field);
      let raw = value;
      if (scaled) {
        const exact = (Number(value) - offset) / factor;
        raw = limits === undefined ? exact : Math.round(exact);
        // Double arithmetic: a 64-bit limit is 2^63 or 2^64 here, which itself does not fit.
        if (limits !== undefined && (raw < limits.minimum || raw > limits.maximum || (wire.type.endsWith("64") && raw === limits.maximum))) code ||= EncodeFault.outOfRange;
        if (wire.type === "f32" && !Number.isFinite(Math.fround(raw))) code ||= EncodeFault.outOfRange;
      }
      if (code !== 0) {
        this.#fault = index;
        return code;
      }
      writeField(wire, outView, outAt, raw);
    }
    return EncodeFault.ok;
  }
}

/** 0, or why the value is refused; DecodeFault and EncodeFault agree on these two. */
function judge(value: number | bigint, field: RecordField): number {
  if (typeof value === "number" && !Number.isFinite(value)) return DecodeFault.notANumber;
  return isInLimits(value, field) ? DecodeFault.ok : DecodeFault.outOfRange;
}

function integerLimits(type: FieldType): { minimum: number; maximum: number } | undefined {
  if (type === "f32" || type === "f64") return undefined;
  const bits = FIELD_SIZE_BYTES[type] * 8;
  return type.startsWith("i") ? { minimum: -(2 ** (bits - 1)), maximum: 2 ** (bits - 1) - 1 } : { minimum: 0, maximum: 2 ** bits - 1 };
}
