/** What a device driver uses to make memory reachable for its device. */
export interface DmaSpace {
  /** I/O virtual address of the first byte. `access` is READ, WRITE or both, as the device sees it. */
  map(address: number, length: number, access: number): number;
  /** Takes back what `map` has returned. */
  unmap(iova: number): void;
}

/** For devices whose DMA nobody translates. */
export const untranslated: DmaSpace = {
  map: (address) => address,
  unmap: () => undefined,
};
