import { MapFlag, MapResult, NO_PASID } from "@viommu/plugin";
import type { GuestMemory, PagingSpace, PhysicalFault, PhysicalIommu } from "@viommu/plugin";
import { hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { Judge } from "./check.ts";

/** An interrupt that has reached the processors of the host. */
export interface PhysicalInterrupt {
  readonly vector: number;
  /** 32-bit APIC id, or logical destination. */
  readonly destination: number;
}

/** A physical IOMMU to prove, with devices below it that can be told what to do. */
export interface PhysicalIommuHarness {
  readonly iommu: PhysicalIommu;
  /** Host memory. */
  readonly memory: GuestMemory;
  /** First of 256 frames of it that nobody uses; a multiple of 256. */
  readonly firstFrame: number;
  /** Two devices that have nothing to do with each other, and no reserved regions but interrupts. */
  readonly devices: readonly [number, number];
  /** An alias of the first device, or null when none has any. */
  readonly alias: number | null;
  /** Two PASIDs that devices can use; empty without PASIDs. */
  readonly pasids: readonly number[];
  /** A device reads a dword: its value, or null when it was blocked. */
  read(sourceId: number, pasid: number, address: number): number | null;
  /** A device writes a dword; false when it was blocked. */
  write(sourceId: number, pasid: number, address: number, value: number): boolean;
  /** A device begins an access that is translated at once and goes on until the result is called. */
  begin(sourceId: number, address: number): () => void;
  /**
   * A device asks for a page (PRI), in a group of its own; `answered` is called with the response code.
   * Left out where devices make no page requests.
   */
  readonly requestPage?: (
    sourceId: number,
    pasid: number,
    address: number,
    answered: (code: number) => void,
  ) => void;
  /** A device sends the message of an interrupt handle; what was delivered because of it. */
  interrupt(sourceId: number, handle: number): readonly PhysicalInterrupt[];
}

/** READ and WRITE. */
export const RW: number = MapFlag.READ | MapFlag.WRITE;

/** Where the suite maps most of its pages: not at a border of anything. */
export const DFN = 0x12_345;

/** A physical IOMMU and what the suite needs around it. */
export class PhysicalUnderTest {
  readonly harness: PhysicalIommuHarness;
  readonly iommu: PhysicalIommu;
  readonly device: number;
  readonly other: number;
  readonly faults: PhysicalFault[] = [];

  constructor(harness: PhysicalIommuHarness) {
    this.harness = harness;
    this.iommu = harness.iommu;
    [this.device, this.other] = harness.devices;
    this.iommu.faultListener = (fault) => {
      this.faults.push(fault);
    };
  }

  /** A frame for data that tells which one it is: each of its dwords holds its own address. */
  frame(number: number): number {
    const frame = this.harness.firstFrame + number;
    const words = Int32Array.from({ length: 1024 }, (_, i) => (frame * 4096 + i * 4) | 0);
    const [hi, lo] = [hiFromNumber(frame * 4096), loFromNumber(frame * 4096)];
    this.harness.memory.writeBytes(hi, lo, new Uint8Array(words.buffer));
    return frame;
  }

  /** A space with pages of the smallest size, for one device or nobody. */
  space(pages: readonly (readonly [dfn: number, mfn: number])[], sourceId?: number): PagingSpace {
    const space = this.iommu.createPagingSpace({ frameQuota: 64, nestingParent: true });
    for (const [dfn, mfn] of pages) space.map(dfn, mfn, 0, RW);
    if (sourceId !== undefined) this.iommu.attach(sourceId, NO_PASID, space);
    return space;
  }

  /** A device reads from a page, and finds this frame; or is blocked (null). */
  reaches(
    judge: Judge,
    dfn: number,
    mfn: number | null,
    from = this.device,
    pasid = NO_PASID,
  ): void {
    for (const offset of [0, 0x7f8, 0xffc]) {
      const address = dfn * 4096 + offset;
      const seen = this.harness.read(from, pasid, address);
      const expected = mfn === null ? null : (mfn * 4096 + offset) | 0;
      const what = `the dword that device 0x${from.toString(16)} reads at 0x${address.toString(16)}:`;
      judge.equal(what, seen, expected);
    }
  }

  /** Throws unless a function throws. */
  refused(judge: Judge, what: string, act: () => unknown): void {
    try {
      act();
    } catch {
      return;
    }
    judge.fail(`${what} refused with an exception`, "none");
  }

  mapped(judge: Judge, result: number): void {
    judge.equal("MapResult", result, MapResult.MAPPED);
  }
}
