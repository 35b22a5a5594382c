/*
 * CRCs for microcontrollers and hosts, freestanding C99: needs stdint.h and stddef.h, allocates nothing, has no state.
 * Names, parameters and check values: docs/specs/crc.md. Any thread, any interrupt.
 *
 * Every function takes the result over the bytes before (`previous`) and returns the result over those and `bytes[0, length_bytes)`;
 * begin with 0, or with the …_START constant where there is one. `bytes` may be NULL when the length is 0.
 *
 * What is compiled: everything; with IPCNET_CRC_ONLY only the CRCs named by a macro of their own, e.g.
 *   cc -DIPCNET_CRC_ONLY -DIPCNET_CRC16_IBM_3740 …
 * With IPCNET_E2E_ONLY (ipcnet_e2e.h) the profiles name the CRCs they need. Tables are constants: 256 B, 512 B, 1 KiB and 2 KiB for
 * 8, 16, 32 and 64 bits. With IPCNET_CRC_SMALL CRC-16/IBM-3740 has no table, and takes about twice as long.
 */
#ifndef IPCNET_CRC_H
#define IPCNET_CRC_H

#include <stddef.h>
#include <stdint.h>

#ifdef IPCNET_E2E_ONLY
#define IPCNET_CRC_ONLY
#if defined(IPCNET_E2E_P01)
#define IPCNET_CRC8_SAE_J1850
#endif
#if defined(IPCNET_E2E_P02)
#define IPCNET_CRC8_AUTOSAR
#endif
#if defined(IPCNET_E2E_P05) || defined(IPCNET_E2E_P06)
#define IPCNET_CRC16_IBM_3740
#endif
#if defined(IPCNET_E2E_P04) || defined(IPCNET_E2E_P08)
#define IPCNET_CRC32_AUTOSAR
#endif
#if defined(IPCNET_E2E_P07)
#define IPCNET_CRC64_XZ
#endif
#endif

#ifndef IPCNET_CRC_ONLY
#define IPCNET_CRC8_SAE_J1850
#define IPCNET_CRC8_AUTOSAR
#define IPCNET_CRC16_IBM_3740
#define IPCNET_CRC16_ARC
#define IPCNET_CRC16_MCRF4XX
#define IPCNET_CRC32_ISO_HDLC
#define IPCNET_CRC32_AUTOSAR
#define IPCNET_CRC32_ISCSI
#define IPCNET_CRC64_XZ
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifdef IPCNET_CRC8_SAE_J1850
/* CRC-8/SAE-J1850, check 0x4B; and the same polynomial with initial value and final xor 0 (E2E P01, P11), check 0x37. */
uint8_t ipcnet_crc8_sae_j1850(uint8_t previous, const uint8_t *bytes, size_t length_bytes);
uint8_t ipcnet_crc8_sae_j1850_zero(uint8_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef IPCNET_CRC8_AUTOSAR
/* CRC-8/AUTOSAR (CRC8H2F; E2E P02, P22), check 0xDF. */
uint8_t ipcnet_crc8_autosar(uint8_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef IPCNET_CRC16_IBM_3740
/* CRC-16/IBM-3740 (CCITT-FALSE; E2E P05, P06), check 0x29B1. */
#define IPCNET_CRC16_IBM_3740_START 0xFFFFu
uint16_t ipcnet_crc16_ibm_3740(uint16_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef IPCNET_CRC16_ARC
/* CRC-16/ARC, check 0xBB3D. */
uint16_t ipcnet_crc16_arc(uint16_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef IPCNET_CRC16_MCRF4XX
/* CRC-16/MCRF4XX (MAVLink's X.25), check 0x6F91. */
#define IPCNET_CRC16_MCRF4XX_START 0xFFFFu
uint16_t ipcnet_crc16_mcrf4xx(uint16_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef IPCNET_CRC32_ISO_HDLC
/* CRC-32/ISO-HDLC (zip, Ethernet), check 0xCBF43926. */
uint32_t ipcnet_crc32_iso_hdlc(uint32_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef IPCNET_CRC32_AUTOSAR
/* CRC-32/AUTOSAR (CRC32P4; E2E P04, P08), check 0x1697D06A. */
uint32_t ipcnet_crc32_autosar(uint32_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef IPCNET_CRC32_ISCSI
/* CRC-32/ISCSI (CRC-32C), check 0xE3069283. Hosts have a faster one in ipcnet_crc_fast.h. */
uint32_t ipcnet_crc32_iscsi(uint32_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef IPCNET_CRC64_XZ
/* CRC-64/XZ (E2E P07), check 0x995DC9BBDF1939FA. Hosts have a faster one in ipcnet_crc_fast.h. */
uint64_t ipcnet_crc64_xz(uint64_t previous, const uint8_t *bytes, size_t length_bytes);
#endif

#ifdef __cplusplus
}
#endif

#endif
