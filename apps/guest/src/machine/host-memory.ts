import { createMemory } from "@viommu/memory";
import type { ChunkedMemory, MemoryRegion } from "@viommu/memory";
import { FrameAllocator, P2m } from "@viommu/piommu";
import { capability } from "@viommu/plugin";
import type { Capability } from "@viommu/plugin";
import type { AddressRange } from "../config/guest-config.ts";
import { hostLayout } from "./host-layout.ts";
import type { HostPiece } from "./host-layout.ts";

const PAGE = 4096;

/** The key of the host's memory. */
export const hostMemory: Capability<HostMemory> = capability("host-memory");

/** Memory of a host, with that of a guest in it: both see the same bytes at other addresses. */
export class HostMemory {
  /** As the host and physical devices see it. */
  readonly memory: ChunkedMemory;
  /** As the guest sees it. */
  readonly guestRegions: readonly MemoryRegion[];
  /** Which is where. */
  readonly p2m: P2m;
  /** Frames for the tables of the physical unit. */
  readonly frames: FrameAllocator;
  readonly #pieces: readonly HostPiece[];
  readonly #ownMemory: number;
  readonly #stray = new Set<number>();

  constructor(guest: readonly AddressRange[], tableFrames: number, addressWidth: number) {
    const layout = hostLayout(guest, tableFrames);
    const { ownMemory, tables, pieces } = layout;
    const buffers = layout.buffers.map(({ base, size }) => {
      return { base, size, buffer: new ArrayBuffer(size) };
    });
    const regions = pieces.map(({ hostBase, size, buffer, offset }) => {
      return { base: hostBase, size, buffer: buffers[buffer]!.buffer, bufferOffset: offset };
    });
    this.#pieces = pieces;
    this.#ownMemory = ownMemory;
    this.guestRegions = buffers;
    this.memory = createMemory({
      regions: [{ base: 0, size: ownMemory + tables.size }, ...regions],
      addressWidth,
      dirtyLog: true,
    });
    this.frames = new FrameAllocator({
      memory: this.memory,
      firstFrame: tables.base / PAGE,
      frames: tableFrames,
    });
    this.p2m = new P2m({ hostAddressWidth: addressWidth });
    for (const { base, size, hostBase } of pieces) {
      this.p2m.map(base / PAGE, hostBase / PAGE, size / PAGE, "ram");
    }
  }

  /** Pages that were written and are neither tables nor the guest's: none, unless something is wrong. */
  strayPages(): number {
    for (const page of this.memory.dirtyPages(0, this.#ownMemory)) this.#stray.add(page);
    return this.#stray.size;
  }

  /** Guest pages that devices have written since this was last asked, by guest-physical addresses. */
  takeWritten(): number[] {
    return this.#pieces.flatMap(({ base, size, hostBase }) =>
      this.memory.dirtyPages(hostBase, size).map((page) => page - hostBase + base),
    );
  }
}
