#include "ipcnet_crc.h"

#include "ipcnet_crc_table.h"

/* ---------------------------------------------------------------- 8 bits */

#ifdef IPCNET_CRC8_SAE_J1850
#define BASIS_TABLE_1D(i) XOR8(i, 0x1du, 0x3au, 0x74u, 0xe8u, 0xcdu, 0x87u, 0x13u, 0x26u)
static const uint8_t table_1d[256] = {TABLE256(BASIS_TABLE_1D)};

uint8_t ipcnet_crc8_sae_j1850_zero(uint8_t previous, const uint8_t *bytes, size_t length_bytes) {
  uint8_t crc = previous;
  for (size_t i = 0; i < length_bytes; i++) crc = table_1d[crc ^ bytes[i]];
  return crc;
}

uint8_t ipcnet_crc8_sae_j1850(uint8_t previous, const uint8_t *bytes, size_t length_bytes) {
  return (uint8_t)(ipcnet_crc8_sae_j1850_zero((uint8_t)(previous ^ 0xFFu), bytes, length_bytes) ^ 0xFFu);
}
#endif

#ifdef IPCNET_CRC8_AUTOSAR
#define BASIS_TABLE_2F(i) XOR8(i, 0x2fu, 0x5eu, 0xbcu, 0x57u, 0xaeu, 0x73u, 0xe6u, 0xe3u)
static const uint8_t table_2f[256] = {TABLE256(BASIS_TABLE_2F)};

uint8_t ipcnet_crc8_autosar(uint8_t previous, const uint8_t *bytes, size_t length_bytes) {
  uint8_t crc = (uint8_t)(previous ^ 0xFFu);
  for (size_t i = 0; i < length_bytes; i++) crc = table_2f[crc ^ bytes[i]];
  return (uint8_t)(crc ^ 0xFFu);
}
#endif

/* --------------------------------------------------------------- 16 bits */

#if defined(IPCNET_CRC16_IBM_3740) && defined(IPCNET_CRC_SMALL)
/* The polynomial x^16 + x^12 + x^5 + 1 has so few terms that a byte's table entry is three shifts of it, once its upper half is folded into the lower. */
uint16_t ipcnet_crc16_ibm_3740(uint16_t previous, const uint8_t *bytes, size_t length_bytes) {
  uint32_t crc = previous;
  for (size_t i = 0; i < length_bytes; i++) {
    uint32_t byte = (crc >> 8 ^ bytes[i]) & 0xFFu;
    byte ^= byte >> 4;
    crc = (crc << 8 ^ byte << 12 ^ byte << 5 ^ byte) & 0xFFFFu;
  }
  return (uint16_t)crc;
}
#elif defined(IPCNET_CRC16_IBM_3740)
#define BASIS_TABLE_1021(i) XOR8(i, 0x1021u, 0x2042u, 0x4084u, 0x8108u, 0x1231u, 0x2462u, 0x48c4u, 0x9188u)
static const uint16_t table_1021[256] = {TABLE256(BASIS_TABLE_1021)};

uint16_t ipcnet_crc16_ibm_3740(uint16_t previous, const uint8_t *bytes, size_t length_bytes) {
  uint16_t crc = previous;
  for (size_t i = 0; i < length_bytes; i++) crc = (uint16_t)((uint16_t)(crc << 8) ^ table_1021[(crc >> 8) ^ bytes[i]]);
  return crc;
}
#endif

#if defined(IPCNET_CRC16_ARC) || defined(IPCNET_CRC16_MCRF4XX)
static uint16_t reflected16(const uint16_t *table, uint16_t previous, const uint8_t *bytes, size_t length_bytes) {
  uint16_t crc = previous;
  for (size_t i = 0; i < length_bytes; i++) crc = (uint16_t)((crc >> 8) ^ table[(crc ^ bytes[i]) & 0xFFu]);
  return crc;
}
#endif

#ifdef IPCNET_CRC16_ARC
#define BASIS_TABLE_8005_REFLECTED(i) XOR8(i, 0xc0c1u, 0xc181u, 0xc301u, 0xc601u, 0xcc01u, 0xd801u, 0xf001u, 0xa001u)
static const uint16_t table_8005_reflected[256] = {TABLE256(BASIS_TABLE_8005_REFLECTED)};

uint16_t ipcnet_crc16_arc(uint16_t previous, const uint8_t *bytes, size_t length_bytes) {
  return reflected16(table_8005_reflected, previous, bytes, length_bytes);
}
#endif

#ifdef IPCNET_CRC16_MCRF4XX
#define BASIS_TABLE_1021_REFLECTED(i) XOR8(i, 0x1189u, 0x2312u, 0x4624u, 0x8c48u, 0x1081u, 0x2102u, 0x4204u, 0x8408u)
static const uint16_t table_1021_reflected[256] = {TABLE256(BASIS_TABLE_1021_REFLECTED)};

uint16_t ipcnet_crc16_mcrf4xx(uint16_t previous, const uint8_t *bytes, size_t length_bytes) {
  return reflected16(table_1021_reflected, previous, bytes, length_bytes);
}
#endif

/* --------------------------------------------------------------- 32 bits */

#if defined(IPCNET_CRC32_ISO_HDLC) || defined(IPCNET_CRC32_AUTOSAR) || defined(IPCNET_CRC32_ISCSI)
static uint32_t reflected32(const uint32_t *table, uint32_t previous, const uint8_t *bytes, size_t length_bytes) {
  uint32_t crc = ~previous;
  for (size_t i = 0; i < length_bytes; i++) crc = (crc >> 8) ^ table[(crc ^ bytes[i]) & 0xFFu];
  return ~crc;
}
#endif

#ifdef IPCNET_CRC32_ISO_HDLC
#define BASIS_TABLE_04C11DB7(i) XOR8(i, 0x77073096u, 0xee0e612cu, 0x076dc419u, 0x0edb8832u, 0x1db71064u, 0x3b6e20c8u, 0x76dc4190u, 0xedb88320u)
static const uint32_t table_04c11db7[256] = {TABLE256(BASIS_TABLE_04C11DB7)};

uint32_t ipcnet_crc32_iso_hdlc(uint32_t previous, const uint8_t *bytes, size_t length_bytes) {
  return reflected32(table_04c11db7, previous, bytes, length_bytes);
}
#endif

#ifdef IPCNET_CRC32_AUTOSAR
#define BASIS_TABLE_F4ACFB13(i) XOR8(i, 0x30850ff5u, 0x610a1feau, 0xc2143fd4u, 0x159615f7u, 0x2b2c2beeu, 0x565857dcu, 0xacb0afb8u, 0xc8df352fu)
static const uint32_t table_f4acfb13[256] = {TABLE256(BASIS_TABLE_F4ACFB13)};

uint32_t ipcnet_crc32_autosar(uint32_t previous, const uint8_t *bytes, size_t length_bytes) {
  return reflected32(table_f4acfb13, previous, bytes, length_bytes);
}
#endif

#ifdef IPCNET_CRC32_ISCSI
#define BASIS_TABLE_1EDC6F41(i) XOR8(i, 0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u)
static const uint32_t table_1edc6f41[256] = {TABLE256(BASIS_TABLE_1EDC6F41)};

uint32_t ipcnet_crc32_iscsi(uint32_t previous, const uint8_t *bytes, size_t length_bytes) {
  return reflected32(table_1edc6f41, previous, bytes, length_bytes);
}
#endif

/* --------------------------------------------------------------- 64 bits */

#ifdef IPCNET_CRC64_XZ
#define BASIS_TABLE_42F0E1EBA9EA3693(i) XOR8(i, 0xb32e4cbe03a75f6full, 0xf4843657a840a05bull, 0x7bd0c384ff8f5e33ull, 0xf7a18709ff1ebc66ull, 0x7d9ba13851336649ull, 0xfb374270a266cc92ull, 0x64b62bcaebc387a1ull, 0xc96c5795d7870f42ull)
static const uint64_t table_42f0e1eba9ea3693[256] = {TABLE256(BASIS_TABLE_42F0E1EBA9EA3693)};

uint64_t ipcnet_crc64_xz(uint64_t previous, const uint8_t *bytes, size_t length_bytes) {
  uint64_t crc = ~previous;
  for (size_t i = 0; i < length_bytes; i++) crc = (crc >> 8) ^ table_42f0e1eba9ea3693[(crc ^ bytes[i]) & 0xFFu];
  return ~crc;
}
#endif
