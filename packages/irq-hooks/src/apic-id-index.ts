/**
 * vCPU number by APIC id, for any 32-bit ids: an open hash table, built once. A look-up costs the
 * same for 8 and for 65,536 vCPUs.
 */
export class ApicIdIndex {
  readonly #keys: Int32Array;
  readonly #vcpus: Int32Array;
  readonly #mask: number;
  readonly #shift: number;

  /** `ids[vcpu]` is the id of each vCPU, all different. */
  constructor(ids: Int32Array) {
    const bits = Math.max(1, 33 - Math.clz32(ids.length)); // at most half full
    this.#keys = new Int32Array(2 ** bits);
    this.#vcpus = new Int32Array(2 ** bits).fill(-1);
    this.#mask = 2 ** bits - 1;
    this.#shift = 32 - bits;
    ids.forEach((id, vcpu) => {
      const slot = this.#slot(id);
      this.#keys[slot] = id;
      this.#vcpus[slot] = vcpu;
    });
  }

  /** The vCPU with this id (as a signed 32-bit int), or -1. */
  find(id: number): number {
    return this.#vcpus[this.#slot(id)]!;
  }

  /** The slot that holds the id, or the free one where it would go. */
  #slot(id: number): number {
    let slot = Math.imul(id, 0x9e37_79b1) >>> this.#shift;
    while (this.#vcpus[slot]! >= 0 && this.#keys[slot] !== id) slot = (slot + 1) & this.#mask;
    return slot;
  }
}
