import type { GuestMemory } from "@viommu/plugin";
import { hex, refusal } from "./refusal.ts";

const FRAME_BYTES = 4096;
const FRAMES_PER_GIB = 2 ** 18;

const FREE = 0;
const FIRST = 1;
const FOLLOWING = 2;

/** What a {@link FrameAllocator} gives out. */
export interface FrameAllocatorOptions {
  /** Host memory. */
  readonly memory: GuestMemory;
  /** First frame, in units of 4 KiB. */
  readonly firstFrame: number;
  /** How many frames, from there on. */
  readonly frames: number;
}

/**
 * Gives out frames of host memory for tables: a fixed number, each cleared, none twice. Every call
 * takes the same time, however many frames there are.
 */
export class FrameAllocator {
  readonly memory: GuestMemory;
  readonly firstFrame: number;
  readonly total: number;
  private inUse = 0;
  private readonly state: Uint8Array;
  private readonly zeros = new Uint8Array(FRAME_BYTES);
  /** What was given back, by the length of the run. */
  private readonly returned = new Map<number, number[]>();
  /** Lengths of the runs in use, where more than one frame. */
  private readonly lengths = new Map<number, number>();
  /** Frames from here on were never given out. */
  private fresh: number;

  /** Throws ERR_VIOMMU_PIOMMU when the frames make no range. */
  constructor(options: FrameAllocatorOptions) {
    const { memory, firstFrame, frames } = options;
    if (!isCount(firstFrame, 0) || !isCount(frames, 1)) {
      throw refusal(`${frames} frames from ${firstFrame} on are no range; give whole numbers`);
    }
    this.memory = memory;
    this.firstFrame = firstFrame;
    this.total = frames;
    this.state = new Uint8Array(frames);
    this.fresh = firstFrame;
  }

  /** Frames in use. */
  get used(): number {
    return this.inUse;
  }

  get available(): number {
    return this.total - this.inUse;
  }

  /** The first of `count` frames in a row, cleared; -1 when there are none. */
  allocate(count = 1): number {
    const first = this.find(count);
    if (first < 0) return -1;
    for (let i = 0; i < count; i += 1) {
      this.clear(first + i);
      this.state[first + i - this.firstFrame] = i === 0 ? FIRST : FOLLOWING;
    }
    if (count > 1) this.lengths.set(first, count);
    this.inUse += count;
    return first;
  }

  /** Takes back what one call of `allocate` gave. Throws ERR_VIOMMU_PIOMMU for anything else. */
  free(first: number): void {
    const at = first - this.firstFrame;
    if (this.state[at] !== FIRST) {
      throw refusal(
        `frame ${hex(first)} is not the first of frames in use; free what allocate() gave, once`,
      );
    }
    const count = this.lengths.get(first) ?? 1;
    this.lengths.delete(first);
    this.state.fill(FREE, at, at + count);
    this.inUse -= count;
    this.giveBack(first, count);
  }

  private find(count: number): number {
    const run = this.returned.get(count)?.pop();
    if (run !== undefined) return run;
    const first = this.fresh;
    if (first + count <= this.firstFrame + this.total) {
      this.fresh += count;
      return first;
    }
    return this.cut(count);
  }

  /** Takes the frames out of a longer run. */
  private cut(count: number): number {
    for (const [length, runs] of this.returned) {
      if (length < count || runs.length === 0) continue;
      const first = runs.pop()!;
      this.giveBack(first + count, length - count);
      return first;
    }
    return -1;
  }

  private giveBack(first: number, count: number): void {
    const runs = this.returned.get(count);
    if (runs === undefined) this.returned.set(count, [first]);
    else runs.push(first);
  }

  private clear(frame: number): void {
    const hi = Math.floor(frame / FRAMES_PER_GIB);
    const lo = (frame % FRAMES_PER_GIB) * FRAME_BYTES;
    if (this.memory.writeBytes(hi, lo, this.zeros)) return;
    throw refusal(`frame ${hex(frame)} is no writable memory; give the allocator frames that are`);
  }
}

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}
