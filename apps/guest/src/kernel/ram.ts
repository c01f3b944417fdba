import { hiFromNumber, loFromNumber, ViommuError } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import type { AddressRange } from "../config/guest-config.ts";

/** Bytes of a page. */
export const PAGE = 4096;

/** Guest memory as the guest's processors see it, and the pages that nobody has yet. */
export class Ram {
  readonly #memory: GuestMemory;
  readonly #ranges: readonly AddressRange[];
  readonly #free: number[] = [];
  #range = 0;
  #next: number;

  /** `ranges` belong to the kernel. */
  constructor(memory: GuestMemory, ranges: readonly AddressRange[]) {
    this.#memory = memory;
    this.#ranges = ranges;
    this.#next = ranges[0]!.base;
  }

  /** The bytes themselves; inside one page. */
  bytes(address: number, length: number): Uint8Array {
    const view = this.#memory.view(hiFromNumber(address), loFromNumber(address), length, true);
    if (view !== null) return view;
    throw new ViommuError(
      "ERR_VIOMMU_GUEST",
      `the guest has no memory at 0x${address.toString(16)}; give it what its memory map promises`,
    );
  }

  /** Address of a page of zeros. */
  allocate(): number {
    const page = this.#free.pop() ?? this.#takeNext();
    this.bytes(page, PAGE).fill(0);
    return page;
  }

  free(page: number): void {
    this.#free.push(page);
  }

  #takeNext(): number {
    for (;;) {
      const range = this.#ranges[this.#range];
      if (range === undefined) {
        throw new ViommuError(
          "ERR_VIOMMU_GUEST",
          "the guest has no page left; give it more memory",
        );
      }
      if (this.#next + PAGE <= range.base + range.size) break;
      this.#range += 1;
      this.#next = this.#ranges[this.#range]?.base ?? 0;
    }
    const page = this.#next;
    this.#next += PAGE;
    return page;
  }
}
