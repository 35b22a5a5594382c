/** A token bucket over bits of bus time: commands may use a share of the bit rate and no more, whoever sends them. Pure. */

/** How much may go out at once after a pause, ms of the allowed share. */
const BURST_MS = 20;

export class BusLoadBudget {
  readonly #bitsPerUs: number;
  readonly #capacityBits: number;
  #bits: number;
  #updatedUs: number | undefined;

  /** `loadPercentMax` of `bitrateBps`; a bit rate of 0 means that the link has none to keep (an unpaced emulator). */
  constructor({ bitrateBps, loadPercentMax }: { bitrateBps: number; loadPercentMax: number }) {
    this.#bitsPerUs = bitrateBps > 0 ? (bitrateBps * loadPercentMax) / 100 / 1e6 : Infinity;
    // At least one longest FD frame, or a slow bus could never send it.
    this.#capacityBits = Math.max(this.#bitsPerUs * BURST_MS * 1e3, 800);
    this.#bits = this.#capacityBits;
  }

  /** Takes `bits` if there are as many; otherwise takes nothing. */
  take(bits: number, nowUs: number): boolean {
    this.#refill(nowUs);
    if (this.#bits < bits) return false;
    this.#bits -= bits;
    return true;
  }

  /** When `bits` will be there, µs. */
  availableAtUs(bits: number, nowUs: number): number {
    this.#refill(nowUs);
    return this.#bits >= bits ? nowUs : nowUs + (bits - this.#bits) / this.#bitsPerUs;
  }

  #refill(nowUs: number): void {
    if (this.#bitsPerUs === Infinity) {
      this.#bits = Infinity;
      return;
    }
    const elapsedUs = this.#updatedUs === undefined ? 0 : Math.max(0, nowUs - this.#updatedUs);
    this.#bits = Math.min(this.#capacityBits, this.#bits + elapsedUs * this.#bitsPerUs);
    this.#updatedUs = nowUs;
  }
}

/**
 * Bits a frame takes on the wire at most, stuff bits and interframe space included.
 * Classic (ISO 11898-1): 47 + 8n fixed bits (67 + 8n extended), of which 34 + 8n (54 + 8n) are stuffed, at worst every fourth.
 */
export function frameBitsMax(lengthBytes: number, extended: boolean): number {
  const stuffed = (extended ? 54 : 34) + 8 * lengthBytes;
  return (extended ? 67 : 47) + 8 * lengthBytes + Math.floor((stuffed - 1) / 4);
}

/** How long a bit of the data phase takes, in bits of the nominal rate: 1 where nothing else is known, which is on the safe side for a budget. */
export function dataBit({ bitrateBps, dataBitrateBps }: { bitrateBps?: number | undefined; dataBitrateBps?: number | undefined }): number {
  return bitrateBps === undefined || dataBitrateBps === undefined || dataBitrateBps <= bitrateBps ? 1 : bitrateBps / dataBitrateBps;
}

/**
 * The same of an FD frame, in bits of the nominal rate; `bit`: what one of its data phase is of those (1 without a switch of the bit rate).
 * ISO 11898-1: 17 bits (36 extended) up to BRS, stuffed, and 13 of acknowledgement, end and pause are nominal. ESI, DLC and 8n data, stuffed; then stuff count, CRC-17 (CRC-21 above 16 bytes), their fixed stuff bits and delimiter.
 */
export function fdFrameBitsMax(lengthBytes: number, extended: boolean, bit: number): number {
  const arbitration = extended ? 36 : 17;
  const counted = 5 + 8 * lengthBytes;
  const crc = 4 + (lengthBytes > 16 ? 21 : 17);
  const fast = counted + Math.floor(counted / 4) + crc + Math.ceil(crc / 4) + 1;
  return Math.ceil(arbitration + Math.floor(arbitration / 4) + 13 + fast * bit);
}

/** The same of a message, whichever of the two its frame is. */
export function messageBitsMax({ extended, fd, bitRateSwitch }: { extended: boolean; fd: boolean; bitRateSwitch: boolean }, lengthBytes: number, bit: number): number {
  return fd ? fdFrameBitsMax(lengthBytes, extended, bitRateSwitch ? bit : 1) : frameBitsMax(lengthBytes, extended);
}
