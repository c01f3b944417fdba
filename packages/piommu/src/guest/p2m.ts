import { MapFlag, ViommuError } from "@viommu/plugin";

/** What a guest frame is. */
export type PageType =
  /** Memory of the guest. */
  | "ram"
  /** Memory that neither the guest nor its devices may write. */
  | "read-only"
  /** Memory whose writes are logged: devices may write it where the physical IOMMU has D bits. */
  | "log-dirty"
  /** A device's registers: uncached, and open to DMA only where the p2m was told so. */
  | "mmio"
  /** Another guest's memory, mapped by this one: never open to DMA. */
  | "foreign";

/** Guest frames that lie one after the other in host memory, all of one type. */
export interface P2mExtent {
  /** First guest frame, in units of 4 KiB. */
  readonly gfn: number;
  /** Host frame of the first one. */
  readonly mfn: number;
  /** Number of frames. */
  readonly count: number;
  readonly type: PageType;
}

/** What {@link P2m.lookup} found: a caller-owned object. */
export interface P2mRun {
  /** Host frame of the frame asked for; meaningless in a hole. */
  mfn: number;
  /** Frames from there on, up to the next change of type or contiguity. */
  count: number;
  /** Rights of devices, bits of `MapFlag`; 0 in a hole, and where DMA is not allowed. */
  rights: number;
}

/** How DMA is allowed. */
export interface P2mOptions {
  /** Bits of a host-physical address (52): frames beyond are refused. */
  readonly hostAddressWidth?: number;
  /** Devices may reach MMIO frames (false): peer-to-peer DMA. */
  readonly dmaToMmio?: boolean;
  /** Devices may write log-dirty frames (false): true where the physical IOMMU tracks writes. */
  readonly dmaToLogDirty?: boolean;
}

/** Whoever shows the p2m to devices. */
export interface P2mSubscriber {
  /** Guest frames have changed: no request is translated the old way when this returns. */
  changed(gfn: number, count: number): void;
  /**
   * True when no request that was translated the old way is under way; otherwise `done` is called,
   * once, when the last one is over.
   */
  drain(done: (this: void) => void): boolean;
}

/** Frames of the interrupt range FEE0_0000h–FEEF_FFFFh, which no DMA can reach (VT-d 3.15). */
const INTERRUPT_FIRST = 0xfee00;
const INTERRUPT_END = 0xfef00;
/** Host and guest frames are below 2^40: 52-bit addresses. */
const FRAME_LIMIT = 2 ** 40;
const { READ, SNOOP, WRITE } = MapFlag;

/**
 * The guest's physical memory map, GPA→HPA, as extents. A change reaches every subscriber before the
 * call returns. Each change returns true when the frames it took out are free at once; otherwise
 * requests of devices are still under way, and `released` is called when they are over. Until then
 * the host must not use the frames again.
 */
export class P2m {
  #extents: P2mExtent[] = [];
  #pins: { readonly gfn: number; readonly count: number }[] = [];
  readonly #subscribers = new Set<P2mSubscriber>();
  readonly #rights: Readonly<Record<PageType, number>>;
  readonly #frameLimit: number;

  constructor(options: P2mOptions = {}) {
    this.#frameLimit = 2 ** ((options.hostAddressWidth ?? 52) - 12);
    this.#rights = {
      ram: READ | WRITE | SNOOP,
      "read-only": READ | SNOOP,
      "log-dirty": READ | SNOOP | (options.dmaToLogDirty === true ? WRITE : 0),
      mmio: options.dmaToMmio === true ? READ | WRITE : 0, // uncached: nothing to snoop
      foreign: 0,
    };
  }

  /** All mappings, by guest frame. */
  get extents(): readonly P2mExtent[] {
    return this.#extents;
  }

  /** What is mapped from `gfn` on. */
  lookup(gfn: number, out: P2mRun): void {
    const index = this.#firstEndingAfter(gfn);
    const extent = this.#extents[index];
    if (extent === undefined || extent.gfn > gfn) {
      out.mfn = 0;
      out.count = (extent?.gfn ?? FRAME_LIMIT) - gfn;
      out.rights = 0;
      return;
    }
    const offset = gfn - extent.gfn;
    out.mfn = extent.mfn + offset;
    out.count = extent.count - offset;
    out.rights = this.#rights[extent.type];
  }

  /** Puts frames in, whatever was there: memory at creation, hot-plug, balloon in, an MMIO window. */
  map(gfn: number, mfn: number, count: number, type: PageType, released = nobody): boolean {
    check(gfn, count);
    const isBeyond = !isRange(mfn, count) || mfn + count > this.#frameLimit;
    if (isBeyond || (mfn < INTERRUPT_END && mfn + count > INTERRUPT_FIRST)) {
      throw refusal(
        `host frames ${hex(mfn)} to ${hex(mfn + count)} are out of range or in the interrupt range`,
        "give frames below the host address width, outside FEE00h to FEEFFh",
      );
    }
    this.#refusePinned(gfn, count, mfn);
    this.#replace(gfn, count, { gfn, mfn, count, type });
    return this.#tell(gfn, count, released);
  }

  /** Takes frames out: balloon out, unplug. */
  unmap(gfn: number, count: number, released = nobody): boolean {
    check(gfn, count);
    this.#refusePinned(gfn, count, null);
    this.#replace(gfn, count, null);
    return this.#tell(gfn, count, released);
  }

  /** Changes the type of frames which are mapped; holes stay holes. */
  setType(gfn: number, count: number, type: PageType, released = nobody): boolean {
    check(gfn, count);
    const parts = this.#extents.slice(this.#firstEndingAfter(gfn), this.#firstFrom(gfn + count));
    for (const part of parts) {
      const first = Math.max(part.gfn, gfn);
      const end = Math.min(part.gfn + part.count, gfn + count);
      const mfn = part.mfn + first - part.gfn;
      this.#replace(first, end - first, { gfn: first, mfn, count: end - first, type });
    }
    return this.#tell(gfn, count, released);
  }

  /** Tells `subscriber` of each change from now on; the result ends that. */
  subscribe(subscriber: P2mSubscriber): () => void {
    this.#subscribers.add(subscriber);
    return () => {
      this.#subscribers.delete(subscriber);
    };
  }

  /**
   * Keeps frames as they are, mapped one to one (a reserved region of an assigned device, RMRR).
   * Throws ERR_VIOMMU_P2M, unless they are mapped so now. The result releases them.
   */
  pinIdentity(gfn: number, count: number): () => void {
    check(gfn, count);
    const run = { mfn: 0, count: 0, rights: 0 };
    for (let at = gfn; at < gfn + count; at += run.count) {
      this.lookup(at, run);
      if (run.rights === 0 || run.mfn !== at) {
        throw refusal(
          `the reserved region ${hex(gfn)} to ${hex(gfn + count)} is not mapped one to one`,
          `map guest frame ${hex(at)} to the same host frame before assigning the device`,
        );
      }
    }
    const pin = { gfn, count };
    this.#pins.push(pin);
    return () => {
      this.#pins = this.#pins.filter((other) => other !== pin);
    };
  }

  #refusePinned(gfn: number, count: number, mfn: number | null): void {
    const pin = this.#pins.find(
      (other) => other.gfn < gfn + count && gfn < other.gfn + other.count,
    );
    if (pin === undefined || mfn === gfn) return;
    throw refusal(
      `frames ${hex(gfn)} to ${hex(gfn + count)} hold a reserved region of an assigned device`,
      "take the device from the guest first",
    );
  }

  /** Puts `extent`, or a hole, in the place of `count` frames. */
  #replace(gfn: number, count: number, extent: P2mExtent | null): void {
    const end = gfn + count;
    const from = this.#firstEndingAfter(gfn);
    const to = this.#firstFrom(end);
    const parts: P2mExtent[] = [];
    if (from < to) {
      const first = this.#extents[from]!;
      if (first.gfn < gfn) parts.push({ ...first, count: gfn - first.gfn });
    }
    if (extent !== null) parts.push(extent);
    if (from < to) {
      const last = this.#extents[to - 1]!;
      const lastEnd = last.gfn + last.count;
      if (lastEnd > end) {
        parts.push({ ...last, gfn: end, mfn: last.mfn + end - last.gfn, count: lastEnd - end });
      }
    }
    this.#extents.splice(from, to - from, ...parts);
    this.#joinAround(from - 1, from + parts.length);
  }

  #tell(gfn: number, count: number, released: () => void): boolean {
    const refusals: unknown[] = [];
    for (const subscriber of this.#subscribers) {
      try {
        subscriber.changed(gfn, count);
      } catch (error) {
        refusals.push(error); // the others have to know all the same
      }
    }
    if (refusals.length > 0) throw refusals[0];
    let draining = 0;
    const over = (): void => {
      draining -= 1;
      if (draining === 0) released();
    };
    for (const subscriber of this.#subscribers) if (!subscriber.drain(over)) draining += 1;
    return draining === 0;
  }

  /** Joins neighbours that continue each other, from index `from` to index `to`. */
  #joinAround(from: number, to: number): void {
    const extents = this.#extents;
    for (let i = Math.min(to, extents.length - 1); i > Math.max(from, 0); i--) {
      const before = extents[i - 1]!;
      const after = extents[i]!;
      const continues =
        before.type === after.type &&
        before.gfn + before.count === after.gfn &&
        before.mfn + before.count === after.mfn;
      if (continues) extents.splice(i - 1, 2, { ...before, count: before.count + after.count });
    }
  }

  /** Index of the first extent that ends after `gfn`. */
  #firstEndingAfter(gfn: number): number {
    const index = this.#firstFrom(gfn);
    const before = this.#extents[index - 1];
    return before !== undefined && before.gfn + before.count > gfn ? index - 1 : index;
  }

  /** Index of the first extent that begins at `gfn` or after it. */
  #firstFrom(gfn: number): number {
    let low = 0;
    let high = this.#extents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#extents[middle]!.gfn < gfn) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isRange(frame: number, count: number): boolean {
  return (
    Number.isSafeInteger(frame) &&
    Number.isSafeInteger(count) &&
    frame >= 0 &&
    count > 0 &&
    frame + count <= FRAME_LIMIT
  );
}

function check(gfn: number, count: number): void {
  if (isRange(gfn, count)) return;
  throw refusal(
    `${count} guest frames from ${gfn} on are no range`,
    "give at least one frame, all below 2^40",
  );
}

function refusal(what: string, todo: string): ViommuError {
  return new ViommuError("ERR_VIOMMU_P2M", `p2m: ${what}; ${todo}`);
}

const nobody = (): void => undefined;

const hex = (frame: number): string => `${frame.toString(16)}h`;
