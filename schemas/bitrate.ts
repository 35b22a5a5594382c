/** How far what a controller runs at may be from what was asked for. Where its clock does not divide, it tells what it really runs at; the next rate in use is 4 % away. As in drivers/can/core/ipcnet_can.h. */
const TOLERANCE = 0.01;

/** Whether a controller runs as wanted, bit/s. Unknown (0, undefined) is as wanted. */
export function isSameRate(runsBps: number | undefined, wantedBps: number | undefined): boolean {
  if (runsBps === undefined || wantedBps === undefined || runsBps === 0 || wantedBps === 0) return true;
  return Math.abs(runsBps - wantedBps) <= wantedBps * TOLERANCE;
}
