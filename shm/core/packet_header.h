/*
 * packet_header: the E2E P07 header of packets on the client socket (AUTOSAR E2E profile 7 at offset 0), for packets of up to 64 KiB on a 64-bit
 * host. Same result as schemas/e2e's P07, which is made for small memories; here 16 KiB of tables buy a CRC of more than 1 GB/s, because
 * it is the largest part of what a sample costs on its way to a client.
 *
 * | offset | field, big-endian |
 * |---|---|
 * | 0 | u64 CRC-64/XZ over everything behind it |
 * | 8 | u32 length of the packet, header included |
 * | 12 | u32 counter |
 * | 16 | u32 Data ID |
 *
 * Thread-safe; the tables are made at the first call.
 */
#ifndef IPCNET_PACKET_HEADER_H
#define IPCNET_PACKET_HEADER_H

#include <stddef.h>
#include <stdint.h>

#define IPCNET_PACKET_HEADER_BYTES 20

enum ipcnet_packet_status {
  IPCNET_PACKET_OK = 0,
  IPCNET_PACKET_TOO_SHORT = 1,
  /* The header names another length than the packet has. */
  IPCNET_PACKET_LENGTH = 2,
  IPCNET_PACKET_CRC = 3,
  /* Not the counter expected: something was lost, repeated or inserted. */
  IPCNET_PACKET_COUNTER = 4,
  IPCNET_PACKET_DATA_ID = 5,
};

/* CRC-64/XZ (ECMA-182 polynomial, reflected, init and final xor all ones; check value 0x995DC9BBDF1939FA). */
uint64_t ipcnet_crc64_xz(const uint8_t *bytes, size_t length);

/* Writes the header of the packet bytes[0 ... length); length >= IPCNET_PACKET_HEADER_BYTES. */
void ipcnet_packet_seal(uint8_t *bytes, size_t length, uint32_t data_id, uint32_t counter);

/* Checks it. The CRC is judged before counter and Data ID, so that these two mean what they say. */
enum ipcnet_packet_status ipcnet_packet_open(const uint8_t *bytes, size_t length, uint32_t data_id, uint32_t counter);

#endif
