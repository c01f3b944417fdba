import { ApicIdIndex } from "./apic-id-index.ts";
import { isVectored } from "./delivery.ts";
import { ApicMode } from "./vlapic-array.ts";
import type { LapicArray } from "./vlapic-array.ts";
import { XapicMembers } from "./xapic-members.ts";

/** Destination FFFF_FFFFh, as a signed int: every local APIC (SDM vol. 3, 11.12.9). */
export const EVERYONE = -1;
/** Destination FFh: every local APIC in xAPIC mode (SDM vol. 3, 11.6.2). */
const EVERY_XAPIC = 0xff;

/**
 * Finds the vCPUs that a destination means. Ids and x2APIC clusters are looked up, whatever the
 * number of vCPUs; only a broadcast goes through all of them.
 */
export class Destinations {
  /** The vCPUs found, in the order they get the message. */
  readonly targets: Int32Array;

  readonly #lapics: LapicArray;
  readonly #index: ApicIdIndex;
  readonly #xapics: XapicMembers;

  constructor(lapics: LapicArray, ids: Int32Array) {
    this.targets = new Int32Array(ids.length);
    this.#lapics = lapics;
    this.#index = new ApicIdIndex(ids);
    this.#xapics = new XapicMembers(lapics, ids.length);
  }

  /** Mode or logical id of a vCPU may have changed. */
  update(vcpu: number): void {
    this.#xapics.update(vcpu);
  }

  /** Modes and logical ids of all vCPUs may have changed. */
  rebuild(): void {
    this.#xapics.rebuild();
  }

  /** Writes the vCPUs that a 32-bit destination (a signed int) means to `targets`; their number. */
  select(destination: number, logical: boolean): number {
    if (destination === EVERYONE) return this.#selectModes(ApicMode.XAPIC, ApicMode.X2APIC);
    return logical ? this.#selectLogical(destination) : this.#selectPhysical(destination);
  }

  /** Takes a vCPU out of the first `count` targets; the number that stays. */
  exclude(vcpu: number, count: number): number {
    let kept = 0;
    for (let i = 0; i < count; i += 1) {
      const target = this.targets[i]!;
      if (target !== vcpu) this.targets[kept++] = target;
    }
    return kept;
  }

  /**
   * Lowest-priority arbitration (SDM vol. 3, 11.6.2.4): of the first `count` targets that can take
   * the interrupt, the one with the lowest processor priority class; of several, the one with the
   * lowest number. -1 when none can.
   */
  arbitrate(count: number, mode: number): number {
    let winner = -1;
    let lowest = 16;
    for (let i = 0; i < count; i += 1) {
      const vcpu = this.targets[i]!;
      if (isVectored(mode) && !this.#lapics.takesVectors(vcpu)) continue;
      const priority = this.#lapics.priorityClass(vcpu);
      if (priority < lowest || (priority === lowest && vcpu < winner)) {
        winner = vcpu;
        lowest = priority;
      }
    }
    return winner;
  }

  #selectPhysical(id: number): number {
    if (id !== EVERY_XAPIC || this.#xapics.count === 0) return this.#add(id, 0);
    // FFh: all in xAPIC mode, and the one in x2APIC mode that has the id 255.
    const count = this.#selectModes(ApicMode.XAPIC, ApicMode.XAPIC);
    const named = this.#index.find(EVERY_XAPIC);
    const counted = named >= 0 && this.#lapics.mode(named) === ApicMode.XAPIC;
    return counted ? count : this.#add(EVERY_XAPIC, count);
  }

  /**
   * Full ids, in xAPIC mode too: there the id has 8 bits, but a vCPU with a larger one is not mixed
   * up with its namesake, and can be started before it switches to x2APIC mode.
   */
  #add(id: number, count: number): number {
    const vcpu = this.#index.find(id);
    if (vcpu < 0 || this.#lapics.mode(vcpu) === ApicMode.DISABLED) return count;
    this.targets[count] = vcpu;
    return count + 1;
  }

  #selectLogical(destination: number): number {
    let count = 0;
    if (destination === EVERY_XAPIC && this.#xapics.count > 0) {
      count = this.#selectModes(ApicMode.XAPIC, ApicMode.XAPIC);
    } else if (destination >>> 8 === 0) {
      count = this.#xapics.match(destination, this.targets);
    }
    // x2APIC: bits 31:16 are the cluster, id bits 19:4; bits 15:0 one for each id bits 3:0
    // (SDM vol. 3, 11.12.10.2). Ids from 2^20 on have no logical id of their own.
    const cluster = (destination >>> 16) << 4;
    for (let rest = destination & 0xffff; rest !== 0; rest &= rest - 1) {
      const vcpu = this.#index.find(cluster | (31 - Math.clz32(rest & -rest)));
      if (vcpu < 0 || this.#lapics.mode(vcpu) !== ApicMode.X2APIC) continue;
      this.targets[count++] = vcpu;
    }
    return count;
  }

  #selectModes(first: number, last: number): number {
    let count = 0;
    for (let vcpu = 0; vcpu < this.targets.length; vcpu += 1) {
      const mode = this.#lapics.mode(vcpu);
      if (mode >= first && mode <= last) this.targets[count++] = vcpu;
    }
    return count;
  }
}
