import { FIRST_VECTOR, LAST_VECTOR } from "../config/vectors.ts";

const VECTORS = 256;

/** A vector of a vCPU, and what it stands for. */
export interface VectorUse<T> {
  readonly owner: T;
  /** The interrupt has moved elsewhere: what has arrived before is still to be served. */
  retired: boolean;
}

/** Which vector of which vCPU stands for which interrupt. */
export class VectorTable<T> {
  readonly #uses: (VectorUse<T> | undefined)[][];
  readonly #retired: { readonly vcpu: number; readonly vector: number }[] = [];

  constructor(vcpus: number) {
    this.#uses = Array.from({ length: vcpus }, () => []);
  }

  find(vcpu: number, vector: number): VectorUse<T> | undefined {
    return this.#uses[vcpu]![vector];
  }

  /** Takes a free vector of a vCPU, and none of `except`; -1 when there is none. */
  claim(vcpu: number, owner: T, except?: ReadonlySet<number>): number {
    const uses = this.#uses[vcpu]!;
    if (uses.length === 0) uses.length = VECTORS;
    for (let vector = FIRST_VECTOR; vector <= LAST_VECTOR; vector += 1) {
      if (uses[vector] !== undefined || except?.has(vector) === true) continue;
      uses[vector] = { owner, retired: false };
      return vector;
    }
    return -1;
  }

  /** No message uses the vector any more; it is free when all that has arrived is served. */
  retire(vcpu: number, vector: number): void {
    this.#uses[vcpu]![vector]!.retired = true;
    this.#retired.push({ vcpu, vector });
  }

  /** Vectors that interrupts have moved away from, with the owners. */
  retired(): { vcpu: number; vector: number; owner: T }[] {
    return this.#retired.map(({ vcpu, vector }) => {
      const { owner } = this.#uses[vcpu]![vector]!;
      return { vcpu, vector, owner };
    });
  }

  /** Forgets everything. */
  clear(): void {
    for (const uses of this.#uses) uses.length = 0;
    this.#retired.length = 0;
  }

  /** Gives a vector to an owner that had it. */
  put(vcpu: number, vector: number, owner: T): void {
    const uses = this.#uses[vcpu]!;
    if (uses.length === 0) uses.length = VECTORS;
    uses[vector] = { owner, retired: false };
  }

  /** All vCPUs have served what had arrived. */
  releaseRetired(): void {
    for (const { vcpu, vector } of this.#retired) this.#uses[vcpu]![vector] = undefined;
    this.#retired.length = 0;
  }
}
