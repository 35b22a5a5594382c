/** Every bound of the client socket, with the arithmetic that gave it. The gateway adds its per-user quotas in gateway/broker/limits.ts. */

/**
 * Largest packet, header included. A Unix SEQPACKET packet must fit the sender's buffer whole (net.core.wmem_default = 212,992 on stock
 * kernels, charged with about 1 % overhead), so three fit in flight; 64 KiB holds 800 samples of a 40-byte record: the cost per packet
 * (one system call, one wake-up, ≈ 8 µs) is then 10 ns per sample, and larger packets would buy nothing.
 */
export const PACKET_BYTES_MAX = 65_536;

/** AUTOSAR E2E profile 7: CRC-64, length, counter, Data ID. */
export const HEADER_BYTES = 20;

/** Largest control message to the gateway, over several packets: a configuration to check (≈ 100 KB for a robot with 60 nodes), doubled. */
export const CONTROL_BYTES_MAX_TO_GATEWAY = 262_144;

/** Largest control message to a client. A description with its layout is 0.5–5 KB; 512 of them at the most go into one message. */
export const CONTROL_BYTES_MAX_TO_CLIENT = 4_194_304;

/** Descriptors with one control message: a lane and its bell, or a page and its bell, and as many again to spare. */
export const DESCRIPTORS_PER_MESSAGE_MAX = 4;

/** Descriptions in one announcement: the encoder starts a new one beyond. */
export const DESCRIPTIONS_PER_MESSAGE_MAX = 512;

/** Nesting of CBOR values. JSON Schemas of configurations reach 14; doubled. Bounds the decoder's recursion: 32 frames of ≈ 200 bytes. */
export const CBOR_DEPTH_MAX = 32;

/** CBOR items in one message to the gateway: one decoded item costs up to ≈ 100 bytes, so a message of 256 KiB costs at most 6.5 MB while it is handled. */
export const CBOR_ITEMS_MAX_TO_GATEWAY = 65_536;

/** The client trusts its gateway with more: 512 descriptions of 200 signals with 12 fields each. */
export const CBOR_ITEMS_MAX_TO_CLIENT = 2_097_152;

/** What a client calls itself, UTF-16 units: a label for people, never an identity. */
export const CLIENT_NAME_LENGTH_MAX = 64;

/** Name of a service, UTF-16 units. */
export const SERVICE_NAME_LENGTH_MAX = 255;

/** The sender's own name for a command (`id` of a publish), UTF-16 units: a UUID has 36. */
export const PUBLISH_ID_LENGTH_MAX = 64;

/** Sentences for people on the wire, UTF-16 units; longer ones are cut. */
export const TEXT_LENGTH_MAX = 4_096;

/** Samples a subscription may ask to have queued. At 8,700 frames/s (a full 1 Mbit/s bus) 65,536 are 7.5 s of stopped reader. */
export const QUEUE_SAMPLES_MAX = 65_536;

/** Time to live of a command, ms: longer is a configuration, not a command. */
export const TTL_MS_MAX = 60_000;

/** Deadline of a request, ms: a safe pose takes seconds, a reload a minute. */
export const REQUEST_TIMEOUT_MS_MAX = 600_000;

/** Name of a topic or pattern, UTF-16 units; schemas/topics bounds its bytes. */
export const TOPIC_LENGTH_MAX = 255;

/** Messages that one query may ask for. They must fit one reply: 1,000 of 4 KiB are 4 MiB; larger ones come as far as they fit. */
export const QUERY_LAST_MAX = 1_000;

/** How long a lossless reader may keep its writer waiting, ms. Longer than this a reader is not slow but gone. */
export const LOSSLESS_DEADLINE_MS_MAX = 60_000;

/** Items of a stream that may be under way: at 4 KiB each, 4,096 of them fill 16 MiB, which is what a user may leave unread. */
export const STREAM_CREDIT_MAX = 4_096;

/** Calls that one offer may have at once. A pool of workers behind one connection has tens; each running call costs ≈ 300 bytes at the gateway. */
export const OFFER_CAPACITY_MAX = 1_024;

/** Name of a group of providers, UTF-16 units. */
export const GROUP_NAME_LENGTH_MAX = 64;

/** A provider's own list, and one entry of it ("user:" and a name of at most 32, as useradd has it; a component's is at most 255). */
export const PRINCIPALS_PER_LIST_MAX = 64;
export const PRINCIPAL_LENGTH_MAX = 280;

/** Name of a resource, UTF-16 units. */
export const RESOURCE_NAME_LENGTH_MAX = 128;

/** What a program announces of itself: a dozen facts for people. */
export const COMPONENT_FIELDS_MAX = 32;

/** Notice before leaving, ms: systemd kills after 90 s unless told otherwise. */
export const LEAVING_MS_MAX = 60_000;
