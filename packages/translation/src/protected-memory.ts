/** A range of host-physical addresses; both ends belong to it. */
export interface ProtectedRange {
  readonly baseHi: number;
  readonly baseLo: number;
  readonly limitHi: number;
  readonly limitLo: number;
}

/**
 * The protected memory regions (VT-d 11.4.8). All DMA into them is blocked and not recorded, with
 * remapping on or off, as hardware of major version 2 and all parts since Skylake do. The unit's own
 * accesses are exempt. Translation requests move no data, so they are answered.
 */
export class ProtectedMemory {
  /** There is a range that protects something. */
  active = false;
  private ranges: ProtectedRange[] = [];

  /** Takes new ranges; a range whose limit lies below its base protects nothing. */
  set(enabled: boolean, low: ProtectedRange | null, high: ProtectedRange | null): void {
    this.ranges = [];
    for (const range of [low, high]) {
      if (enabled && range !== null && !isEmpty(range)) this.ranges.push(range);
    }
    this.active = this.ranges.length > 0;
  }

  /** Whether the naturally aligned range of 2^pageShift bytes around an address is touched. */
  touches(hi: number, lo: number, pageShift: number): boolean {
    const offset = (1 << pageShift) - 1;
    const first = lo & ~offset;
    const last = lo | offset;
    for (const range of this.ranges) {
      const afterBase = hi > range.baseHi || (hi === range.baseHi && last >= range.baseLo);
      const beforeLimit = hi < range.limitHi || (hi === range.limitHi && first <= range.limitLo);
      if (afterBase && beforeLimit) return true;
    }
    return false;
  }
}

function isEmpty(range: ProtectedRange): boolean {
  return (
    range.limitHi < range.baseHi || (range.limitHi === range.baseHi && range.limitLo < range.baseLo)
  );
}
