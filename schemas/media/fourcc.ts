/** Four-character codes, and for the raw formats that are known here how large their planes have to be. */

/** A plane: each row has ceil(width / across) × bytes bytes, and there are ceil(height / down) rows. */
export interface PlaneRule {
  bytes: number;
  across: number;
  down: number;
}

const packed = (bytes: number): PlaneRule[] => [{ bytes, across: 1, down: 1 }];
const luma: PlaneRule = { bytes: 1, across: 1, down: 1 };

/** Raw formats by V4L2's fourcc. Others are permitted, then only their planes' own sizes are checked. */
export const rawFormats: ReadonlyMap<string, readonly PlaneRule[]> = new Map([
  ["GREY", packed(1)], ["Y10 ", packed(2)], ["Y12 ", packed(2)], ["Y16 ", packed(2)],
  /** Depth, millimetres. */
  ["Z16 ", packed(2)],
  ["BA81", packed(1)], ["GBRG", packed(1)], ["GRBG", packed(1)], ["RGGB", packed(1)],
  ["RGB3", packed(3)], ["BGR3", packed(3)],
  /** RGBA and BGRA in this order in memory. */
  ["AB24", packed(4)], ["AR24", packed(4)],
  ["YUYV", [{ bytes: 4, across: 2, down: 1 }]], ["UYVY", [{ bytes: 4, across: 2, down: 1 }]],
  ["NV12", [luma, { bytes: 2, across: 2, down: 2 }]], ["NV21", [luma, { bytes: 2, across: 2, down: 2 }]], ["NV16", [luma, { bytes: 2, across: 2, down: 1 }]],
  ["YU12", [luma, { bytes: 1, across: 2, down: 2 }, { bytes: 1, across: 2, down: 2 }]],
]);

/** Whether it is four printable ASCII characters. */
export function isFourcc(text: unknown): text is string {
  return typeof text === "string" && /^[ -~]{4}$/.test(text);
}
