const PAGES_PER_GIB = 2 ** 18;

/** The address of a page as requests and invalidations have it; the upper half comes last. */
export function pageAddress(page: number): { readonly hi: number; readonly lo: number } {
  const hi = Math.floor(page / PAGES_PER_GIB);
  return { hi: hi | 0, lo: (page - hi * PAGES_PER_GIB) * 4096 };
}
