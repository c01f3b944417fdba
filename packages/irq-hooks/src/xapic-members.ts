import { ApicMode, Word } from "./vlapic-array.ts";
import type { LapicArray } from "./vlapic-array.ts";

/** DFR bits 31:28 of the flat model; the cluster model has 0000 (SDM vol. 3, 11.6.2.2). */
const FLAT_MODEL = 0xf;

/**
 * The vCPUs in xAPIC mode, and those among them with a logical id in LDR. An operating system gives
 * at most 8 of these ids in the flat model and 60 in the cluster model: a logical destination looks
 * at those few, not at every vCPU.
 */
export class XapicMembers {
  /** Number of vCPUs in xAPIC mode. */
  count = 0;

  readonly #lapics: LapicArray;
  /** vCPUs with a logical id, ascending; the first `#named` words count. */
  readonly #list: Int32Array;
  #named = 0;
  /** 1 for each vCPU that `count` counts. */
  readonly #counted: Uint8Array;

  constructor(lapics: LapicArray, vcpus: number) {
    this.#lapics = lapics;
    this.#list = new Int32Array(vcpus);
    this.#counted = new Uint8Array(vcpus);
    this.rebuild();
  }

  /** Looks at all vCPUs anew. */
  rebuild(): void {
    for (let vcpu = 0; vcpu < this.#list.length; vcpu += 1) this.update(vcpu);
  }

  /** Mode or LDR of a vCPU may have changed. */
  update(vcpu: number): void {
    const inXapicMode = this.#lapics.mode(vcpu) === ApicMode.XAPIC;
    this.count += Number(inXapicMode) - this.#counted[vcpu]!;
    this.#counted[vcpu] = Number(inXapicMode);

    const at = this.#position(vcpu);
    const listed = at < this.#named && this.#list[at] === vcpu;
    const named = inXapicMode && this.#hasName(vcpu);
    if (named === listed) return;
    if (named) {
      this.#list.copyWithin(at + 1, at, this.#named);
      this.#list[at] = vcpu;
      this.#named += 1;
    } else {
      this.#list.copyWithin(at, at + 1, this.#named);
      this.#named -= 1;
    }
  }

  /** Writes the vCPUs that match the logical destination (8 bits, not FFh) to `out`; their number. */
  match(destination: number, out: Int32Array): number {
    let n = 0;
    for (let i = 0; i < this.#named; i += 1) {
      const vcpu = this.#list[i]!;
      const base = this.#lapics.base(vcpu);
      const id = this.#lapics.words[base + Word.LDR]! >>> 24;
      const flat = this.#lapics.words[base + Word.DFR]! >>> 28 === FLAT_MODEL;
      if (flat ? (id & destination) !== 0 : matchesCluster(id, destination)) out[n++] = vcpu;
    }
    return n;
  }

  #hasName(vcpu: number): boolean {
    return this.#lapics.words[this.#lapics.base(vcpu) + Word.LDR] !== 0;
  }

  /** Where the vCPU is in the list, or would be. */
  #position(vcpu: number): number {
    let low = 0;
    let high = this.#named;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#list[middle]! < vcpu) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Bits 7:4 name the cluster, bits 3:0 its members. */
function matchesCluster(id: number, destination: number): boolean {
  return id >>> 4 === destination >>> 4 && (id & destination & 0xf) !== 0;
}
