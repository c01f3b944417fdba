const PAGES: readonly number[] = Array.from({ length: 64 }, (_, order) => 2 ** order);

/** 2^order, for orders of 0 to 63: looked up, since raising to a power costs more than a table walk. */
export function pagesIn(order: number): number {
  return PAGES[order]!;
}
