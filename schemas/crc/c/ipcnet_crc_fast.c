#include "ipcnet_crc_fast.h"

#include "ipcnet_crc_table.h"

/* Written so that every compiler makes one load of it on little-endian machines, and a right one on others. */
static inline uint32_t little32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline uint64_t little64(const uint8_t *bytes) {
  return (uint64_t)little32(bytes) | (uint64_t)little32(bytes + 4) << 32;
}

/* ------------------------------------------- CRC-32/ISCSI, eight bytes a step */

/* Row k: the effect of a byte followed by k zero bytes. */
#define CRC32C_0(i) XOR8(i, 0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u)
#define CRC32C_1(i) XOR8(i, 0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u)
#define CRC32C_2(i) XOR8(i, 0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u)
#define CRC32C_3(i) XOR8(i, 0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu)
#define CRC32C_4(i) XOR8(i, 0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu)
#define CRC32C_5(i) XOR8(i, 0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u)
#define CRC32C_6(i) XOR8(i, 0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u)
#define CRC32C_7(i) XOR8(i, 0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u)
static const uint32_t crc32c[8][256] = {
  {TABLE256(CRC32C_0)},
  {TABLE256(CRC32C_1)},
  {TABLE256(CRC32C_2)},
  {TABLE256(CRC32C_3)},
  {TABLE256(CRC32C_4)},
  {TABLE256(CRC32C_5)},
  {TABLE256(CRC32C_6)},
  {TABLE256(CRC32C_7)},
};

static uint32_t crc32c_sliced(uint32_t crc, const uint8_t *bytes, size_t length_bytes) {
  for (; length_bytes >= 8; length_bytes -= 8, bytes += 8) {
    const uint32_t low = crc ^ little32(bytes);
    const uint32_t high = little32(bytes + 4);
    crc = crc32c[7][low & 0xFFu] ^ crc32c[6][low >> 8 & 0xFFu] ^ crc32c[5][low >> 16 & 0xFFu] ^ crc32c[4][low >> 24] ^
          crc32c[3][high & 0xFFu] ^ crc32c[2][high >> 8 & 0xFFu] ^ crc32c[1][high >> 16 & 0xFFu] ^ crc32c[0][high >> 24];
  }
  for (; length_bytes > 0; length_bytes--, bytes++) crc = (crc >> 8) ^ crc32c[0][(crc ^ *bytes) & 0xFFu];
  return crc;
}

uint32_t ipcnet_crc32_iscsi_sliced(uint32_t previous, const uint8_t *bytes, size_t length_bytes) {
  return ~crc32c_sliced(~previous, bytes, length_bytes);
}

/* --------------------------------------- CRC-32/ISCSI by the processor itself */

/*
 * The instruction takes three cycles but can begin each cycle: a serial loop leaves two thirds of it idle (9.7 GB/s where 29 are to be had). So longer buffers are
 * three neighbouring parts of equal length, done side by side. A CRC is linear: that of the whole is (first moved over two parts of zeros) xor (second moved over
 * one) xor (third). Moving over n bytes is a multiplication by x^(8n) modulo the polynomial. `crc` is the register, without the final complement.
 */
#if defined(__x86_64__)

#define CRC32C_PROCESSOR __attribute__((target("sse4.2,pclmul")))
#define CRC32C_PART_SHORT 256
#define CRC32C_PART_LONG 4096

/* SSE 4.2 and the carry-less product have been in every x86-64 processor since 2011, yet are not part of its baseline: asked at run time. */
int ipcnet_crc32_iscsi_by_processor(void) {
  return __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0;
}

CRC32C_PROCESSOR static inline uint64_t crc32c_8(uint64_t crc, uint64_t word) {
  return __builtin_ia32_crc32di(crc, word);
}

CRC32C_PROCESSOR static inline uint64_t crc32c_4(uint64_t crc, const uint8_t *bytes) {
  return __builtin_ia32_crc32si((uint32_t)crc, little32(bytes));
}

CRC32C_PROCESSOR static inline uint64_t crc32c_1(uint64_t crc, const uint8_t *bytes) {
  return __builtin_ia32_crc32qi((uint32_t)crc, *bytes);
}

/* crc times x^(8n): the product of the two reflected halves comes out times x, the instruction that reduces it adds x^32, so `factor` is x^(8n - 33). */
CRC32C_PROCESSOR static inline uint64_t crc32c_move(uint64_t crc, uint32_t factor) {
  typedef long long pair __attribute__((vector_size(16)));
  const pair product = __builtin_ia32_pclmulqdq128((pair){(long long)crc, 0}, (pair){factor, 0}, 0);
  return __builtin_ia32_crc32di(0, (uint64_t)product[0]);
}

#define CRC32C_MOVE_SHORT 0xb9e02b86u
#define CRC32C_MOVE_SHORT_TWICE 0xdd7e3b0cu
#define CRC32C_MOVE_LONG 0x82f89c77u
#define CRC32C_MOVE_LONG_TWICE 0x54a86326u

#elif defined(__aarch64__)

#if defined(__linux__)
#include <sys/auxv.h>
#endif

#define CRC32C_PROCESSOR
#define CRC32C_PART_SHORT 1024
#define CRC32C_PART_LONG 4096

/* Optional in ARMv8.0 and in every core that Linux is likely to meet; the kernel knows. HWCAP_CRC32 is bit 7. */
int ipcnet_crc32_iscsi_by_processor(void) {
#if defined(__ARM_FEATURE_CRC32)
  return 1;
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) >> 7 & 1) != 0;
#else
  return 0;
#endif
}

static inline uint64_t crc32c_8(uint64_t crc, uint64_t word) {
  uint32_t result;
  __asm__(".arch_extension crc\n\tcrc32cx %w0, %w1, %x2" : "=r"(result) : "r"((uint32_t)crc), "r"(word));
  return result;
}

static inline uint64_t crc32c_4(uint64_t crc, const uint8_t *bytes) {
  uint32_t result;
  __asm__(".arch_extension crc\n\tcrc32cw %w0, %w1, %w2" : "=r"(result) : "r"((uint32_t)crc), "r"(little32(bytes)));
  return result;
}

static inline uint64_t crc32c_1(uint64_t crc, const uint8_t *bytes) {
  uint32_t result;
  __asm__(".arch_extension crc\n\tcrc32cb %w0, %w1, %w2" : "=r"(result) : "r"((uint32_t)crc), "r"((uint32_t)*bytes));
  return result;
}

/* crc times `factor` = x^(8n), bit by bit (the carry-less product is an option that a Raspberry Pi 4 lacks): 40 ns, so the short parts are longer here. */
static inline uint64_t crc32c_move(uint64_t crc, uint32_t factor) {
  uint32_t product = 0, shifted = (uint32_t)crc;
  for (; factor != 0; factor <<= 1) {
    product ^= shifted & (0u - (factor >> 31));
    shifted = (shifted >> 1) ^ (0x82f63b78u & (0u - (shifted & 1)));
  }
  return product;
}

#define CRC32C_MOVE_SHORT 0xe4172b16u
#define CRC32C_MOVE_SHORT_TWICE 0x0d65762au
#define CRC32C_MOVE_LONG 0x35d73a62u
#define CRC32C_MOVE_LONG_TWICE 0x28461564u

#endif

#ifdef CRC32C_PROCESSOR

#define CRC32C_INLINE CRC32C_PROCESSOR static inline __attribute__((always_inline))

/* A word of the source, which also goes to the target if there is one: the instruction leaves room for a store beside it, so copying costs nothing extra. */
CRC32C_INLINE uint64_t crc32c_step(uint64_t crc, uint8_t *to, const uint8_t *bytes) {
  const uint64_t word = little64(bytes);
  if (to) __builtin_memcpy(to, &word, 8);
  return crc32c_8(crc, word);
}

/* Three parts of `part` bytes side by side. */
CRC32C_INLINE uint64_t crc32c_three(uint64_t first, uint8_t *to, const uint8_t *bytes, size_t part, uint32_t move, uint32_t move_twice) {
  uint64_t second = 0, third = 0;
  for (size_t at = 0; at < part; at += 8) {
    first = crc32c_step(first, to ? to + at : 0, bytes + at);
    second = crc32c_step(second, to ? to + part + at : 0, bytes + part + at);
    third = crc32c_step(third, to ? to + 2 * part + at : 0, bytes + 2 * part + at);
  }
  return crc32c_move(first, move_twice) ^ crc32c_move(second, move) ^ third;
}

CRC32C_INLINE uint32_t crc32c_all(uint32_t crc, uint8_t *to, const uint8_t *bytes, size_t length_bytes) {
  uint64_t wide = crc;
  size_t at = 0;
  for (; length_bytes - at >= 3 * CRC32C_PART_LONG; at += 3 * CRC32C_PART_LONG)
    wide = crc32c_three(wide, to ? to + at : 0, bytes + at, CRC32C_PART_LONG, CRC32C_MOVE_LONG, CRC32C_MOVE_LONG_TWICE);
  for (; length_bytes - at >= 3 * CRC32C_PART_SHORT; at += 3 * CRC32C_PART_SHORT)
    wide = crc32c_three(wide, to ? to + at : 0, bytes + at, CRC32C_PART_SHORT, CRC32C_MOVE_SHORT, CRC32C_MOVE_SHORT_TWICE);
  for (; length_bytes - at >= 8; at += 8) wide = crc32c_step(wide, to ? to + at : 0, bytes + at);
  if (to) {
    __builtin_memcpy(to + at, bytes + at, length_bytes - at);
    bytes = to; /* what was copied counts, should the source change */
  }
  if (length_bytes - at >= 4) {
    wide = crc32c_4(wide, bytes + at);
    at += 4;
  }
  for (; at < length_bytes; at++) wide = crc32c_1(wide, bytes + at);
  return (uint32_t)wide;
}

CRC32C_PROCESSOR static uint32_t crc32c_processor(uint32_t crc, const uint8_t *bytes, size_t length_bytes) {
  return crc32c_all(crc, 0, bytes, length_bytes);
}

CRC32C_PROCESSOR static uint32_t crc32c_processor_copy(uint32_t crc, uint8_t *to, const uint8_t *bytes, size_t length_bytes) {
  return crc32c_all(crc, to, bytes, length_bytes);
}

#else

static uint32_t crc32c_processor(uint32_t crc, const uint8_t *bytes, size_t length_bytes) {
  return crc32c_sliced(crc, bytes, length_bytes);
}

static uint32_t crc32c_processor_copy(uint32_t crc, uint8_t *to, const uint8_t *bytes, size_t length_bytes) {
  (void)to;
  return crc32c_sliced(crc, bytes, length_bytes);
}

int ipcnet_crc32_iscsi_by_processor(void) {
  return 0;
}

#endif

uint32_t ipcnet_crc32_iscsi_fast(uint32_t previous, const uint8_t *bytes, size_t length_bytes) {
  return ~(ipcnet_crc32_iscsi_by_processor() ? crc32c_processor(~previous, bytes, length_bytes) : crc32c_sliced(~previous, bytes, length_bytes));
}

uint32_t ipcnet_crc32_iscsi_copy(uint32_t previous, uint8_t *to, const uint8_t *bytes, size_t length_bytes) {
  if (length_bytes == 0) return previous;
  if (ipcnet_crc32_iscsi_by_processor()) return ~crc32c_processor_copy(~previous, to, bytes, length_bytes);
  __builtin_memcpy(to, bytes, length_bytes);
  return ~crc32c_sliced(~previous, to, length_bytes);
}

/* ---------------------------------------------- CRC-64/XZ, eight bytes a step */

#define CRC64_0(i) XOR8(i, 0xb32e4cbe03a75f6full, 0xf4843657a840a05bull, 0x7bd0c384ff8f5e33ull, 0xf7a18709ff1ebc66ull, 0x7d9ba13851336649ull, 0xfb374270a266cc92ull, 0x64b62bcaebc387a1ull, 0xc96c5795d7870f42ull)
#define CRC64_1(i) XOR8(i, 0x54e979925cd0f10dull, 0xa9d2f324b9a1e21aull, 0xc17d4962dc4ddab1ull, 0x10223dee1795abe7ull, 0x20447bdc2f2b57ceull, 0x4088f7b85e56af9cull, 0x8111ef70bcad5f38ull, 0x90fb71cad654a0f5ull)
#define CRC64_2(i) XOR8(i, 0x3f0be14a916a6dcbull, 0x7e17c29522d4db96ull, 0xfc2f852a45a9b72cull, 0x6a87a57f245d70ddull, 0xd50f4afe48bae1baull, 0x38c63ad73e7bddf1ull, 0x718c75ae7cf7bbe2ull, 0xe318eb5cf9ef77c4ull)
#define CRC64_3(i) XOR8(i, 0x1dee8a5e222ca1dcull, 0x3bdd14bc445943b8ull, 0x77ba297888b28770ull, 0xef7452f111650ee0ull, 0x4c300ac98dc40345ull, 0x986015931b88068aull, 0xa218840d981e1391ull, 0xd6e9a7309f3239a7ull)
#define CRC64_4(i) XOR8(i, 0x5c2d776033c4205eull, 0xb85aeec0678840bcull, 0xe26d72ab601e9ffdull, 0x56024a7d6f33217full, 0xac0494fade6642feull, 0xcad186de13c29b79ull, 0x077ba297888b2877ull, 0x0ef7452f111650eeull)
#define CRC64_5(i) XOR8(i, 0x6184d55f721267c6ull, 0xc309aabee424cf8cull, 0x14cbfa566747819dull, 0x2997f4acce8f033aull, 0x532fe9599d1e0674ull, 0xa65fd2b33a3c0ce8ull, 0xde670a4ddb760755ull, 0x2e16bbb019e2102full)
#define CRC64_6(i) XOR8(i, 0x22ef0d5934f964ecull, 0x45de1ab269f2c9d8ull, 0x8bbc3564d3e593b0ull, 0x85a0c5e208c539e5ull, 0x999924efbe846d4full, 0xa1eae6f4d206c41bull, 0xd10d62c20b0396b3ull, 0x30c26aafb90933e3ull)
#define CRC64_7(i) XOR8(i, 0xdabe95afc7875f40ull, 0x27a584742000a005ull, 0x4f4b08e84001400aull, 0x9e9611d080028014ull, 0xaff48c8aaf0b1eadull, 0xcd31b63ef11823dfull, 0x08bbc3564d3e593bull, 0x117786ac9a7cb276ull)
static const uint64_t crc64[8][256] = {
  {TABLE256(CRC64_0)},
  {TABLE256(CRC64_1)},
  {TABLE256(CRC64_2)},
  {TABLE256(CRC64_3)},
  {TABLE256(CRC64_4)},
  {TABLE256(CRC64_5)},
  {TABLE256(CRC64_6)},
  {TABLE256(CRC64_7)},
};

uint64_t ipcnet_crc64_xz_fast(uint64_t previous, const uint8_t *bytes, size_t length_bytes) {
  uint64_t crc = ~previous;
  for (; length_bytes >= 8; length_bytes -= 8, bytes += 8) {
    crc ^= little64(bytes);
    crc = crc64[7][crc & 0xFFu] ^ crc64[6][crc >> 8 & 0xFFu] ^ crc64[5][crc >> 16 & 0xFFu] ^ crc64[4][crc >> 24 & 0xFFu] ^
          crc64[3][crc >> 32 & 0xFFu] ^ crc64[2][crc >> 40 & 0xFFu] ^ crc64[1][crc >> 48 & 0xFFu] ^ crc64[0][crc >> 56];
  }
  for (; length_bytes > 0; length_bytes--, bytes++) crc = (crc >> 8) ^ crc64[0][(crc ^ *bytes) & 0xFFu];
  return ~crc;
}
