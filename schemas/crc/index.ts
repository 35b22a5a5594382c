export * from "./crc8.ts";
export * from "./crc16.ts";
export * from "./crc32.ts";
export * from "./crc64.ts";
