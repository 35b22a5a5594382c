/** Fixed-layout records and the layouts that describe them. See README.md. */
export { compileFields, packFields, unpackFields, type FieldsCodec } from "./fields.ts";
export { layoutFromJson, layoutToJson, type LayoutJson } from "./json.ts";
export {
  checkValue, FIELD_SIZE_BYTES, isInLimits, isPresent, layoutFromFields, layoutFromMessage, readField, readRecord, writeField, writeRecord,
  type FieldDefinition, type FieldType, type RecordFault, type RecordField, type RecordLayout,
} from "./layout.ts";
