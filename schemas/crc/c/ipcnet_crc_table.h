/*
 * A CRC table is linear: the entry of a byte is the xor of the entries of its bits. So eight constants give a table, which the compiler
 * works out; tests compare the functions with the catalogue.
 */
#ifndef IPCNET_CRC_TABLE_H
#define IPCNET_CRC_TABLE_H

#define BIT_OF(i, k, entry) (((unsigned)(i) >> (k) & 1u) ? (entry) : 0u)
#define XOR8(i, a, b, c, d, e, f, g, h) \
  (BIT_OF(i, 0, a) ^ BIT_OF(i, 1, b) ^ BIT_OF(i, 2, c) ^ BIT_OF(i, 3, d) ^ BIT_OF(i, 4, e) ^ BIT_OF(i, 5, f) ^ BIT_OF(i, 6, g) ^ BIT_OF(i, 7, h))
#define TABLE4(entry, i) entry(i), entry((i) + 1), entry((i) + 2), entry((i) + 3)
#define TABLE16(entry, i) TABLE4(entry, i), TABLE4(entry, (i) + 4), TABLE4(entry, (i) + 8), TABLE4(entry, (i) + 12)
#define TABLE64(entry, i) TABLE16(entry, i), TABLE16(entry, (i) + 16), TABLE16(entry, (i) + 32), TABLE16(entry, (i) + 48)
#define TABLE256(entry) TABLE64(entry, 0), TABLE64(entry, 64), TABLE64(entry, 128), TABLE64(entry, 192)

#endif
