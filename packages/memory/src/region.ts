import { ViommuError } from "@viommu/plugin";

/** Bytes in a chunk: all addresses with one `hi`. */
export const CHUNK = 0x4000_0000;

/** Bytes in a page, the unit of regions and of the dirty log. */
export const PAGE = 4096;

const MOST_MEMORY = 64 * CHUNK;

/** Whatever has a buffer of its own which may be replaced: a WebAssembly.Memory, when it grows. */
export interface GrowableBuffer {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

/** A run of guest-physical memory. */
export interface MemoryRegion {
  /** Guest-physical byte address, a multiple of 4096. */
  readonly base: number;
  /** Bytes, a multiple of 4096. */
  readonly size: number;
  /** The guest and its devices cannot write it (firmware). */
  readonly readOnly?: boolean;
  /** Memory that exists already (a WebAssembly.Memory too); without it, zeroed memory is made. */
  readonly buffer?: ArrayBuffer | SharedArrayBuffer | GrowableBuffer;
  /** Byte of the buffer where the region begins, a multiple of 4; 0 unless given. */
  readonly bufferOffset?: number;
}

/** What {@link createMemory} needs to know. */
export interface MemoryOptions {
  readonly regions: readonly MemoryRegion[];
  /** Width of guest-physical addresses in bits, 12 to 52; 52 unless given. */
  readonly addressWidth?: number;
  /** Remembers which pages were written; off unless given. */
  readonly dirtyLog?: boolean;
}

/** The regions by address, each one checked; throws ViommuError on the first that cannot be. */
export function checkedRegions(options: MemoryOptions): readonly MemoryRegion[] {
  const width = options.addressWidth ?? 52;
  if (!Number.isInteger(width) || width < 12 || width > 52) {
    throw new ViommuError(
      "ERR_VIOMMU_MEMORY_WIDTH",
      `addressWidth ${width} is not possible; give 12 to 52 bits`,
    );
  }
  for (const region of options.regions) checkRegion(region, width);
  const sorted = [...options.regions].sort((a, b) => a.base - b.base);
  for (let i = 1; i < sorted.length; i += 1) {
    const below = sorted[i - 1]!;
    if (below.base + below.size <= sorted[i]!.base) continue;
    throw new ViommuError(
      "ERR_VIOMMU_MEMORY_OVERLAP",
      `regions ${range(below)} and ${range(sorted[i]!)} overlap; make one of them smaller`,
    );
  }
  const total = sorted.reduce((sum, region) => sum + region.size, 0);
  if (total > MOST_MEMORY) {
    throw new ViommuError(
      "ERR_VIOMMU_MEMORY_SIZE",
      `the regions hold ${hex(total)} bytes; at most 64 GiB are possible`,
    );
  }
  return sorted;
}

function checkRegion(region: MemoryRegion, width: number): void {
  const { base, size, bufferOffset = 0 } = region;
  requireMultiple("base", base, PAGE, 0);
  requireMultiple("size", size, PAGE, PAGE);
  requireMultiple("bufferOffset", bufferOffset, 4, 0);
  if (base + size > 2 ** width) {
    throw new ViommuError(
      "ERR_VIOMMU_MEMORY_BEYOND_WIDTH",
      `region ${range(region)} ends above the ${width}-bit address space; move it below ${hex(2 ** width)}`,
    );
  }
  if (region.buffer !== undefined) checkBuffer(region, region.buffer, bufferOffset);
}

function checkBuffer(
  region: MemoryRegion,
  given: NonNullable<MemoryRegion["buffer"]>,
  offset: number,
): void {
  const refuse = (reason: string): never => {
    throw new ViommuError("ERR_VIOMMU_MEMORY_BUFFER", `region ${range(region)}: ${reason}`);
  };
  // A typed array looks like a WebAssembly.Memory to the type checker, but its offset would be lost.
  if (ArrayBuffer.isView(given)) {
    refuse("the buffer is a typed array; give its `buffer`, and its `byteOffset` as bufferOffset");
  }
  const { buffer } = growable(given);
  if ((buffer as { resizable?: boolean }).resizable === true) {
    refuse("the buffer is resizable, so it may shrink and is slow to read; give a fixed one");
  }
  if (offset + region.size > buffer.byteLength) {
    refuse(
      `the buffer has ${hex(buffer.byteLength)} bytes, ${hex(offset + region.size)} are needed; ` +
        "give a larger one or make the region smaller",
    );
  }
}

/** The buffer in its replaceable form. */
export function growable(given: NonNullable<MemoryRegion["buffer"]>): GrowableBuffer {
  return "byteLength" in given ? { buffer: given } : given;
}

function requireMultiple(what: string, value: number, unit: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least && value % unit === 0) return;
  throw new ViommuError(
    "ERR_VIOMMU_MEMORY_UNALIGNED",
    `${what} ${hex(value)} is not possible; give a multiple of ${unit}, at least ${least}`,
  );
}

function range(region: MemoryRegion): string {
  return `${hex(region.base)}+${hex(region.size)}`;
}

/** A number for an error message: hexadecimal where that is possible. */
export function hex(value: number): string {
  return Number.isSafeInteger(value) && value >= 0 ? `0x${value.toString(16)}` : String(value);
}
