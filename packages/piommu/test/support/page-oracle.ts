/** One page of a space. */
export interface Page {
  readonly dfn: number;
  readonly order: number;
  readonly mfn: number;
  readonly flags: number;
  dirty: boolean;
}

const ORDERS = [0, 9, 18];

/** What a space maps, page by page: slow, and knows no tables. */
export class PageOracle {
  readonly pages = new Map<number, Page>();

  find(dfn: number): Page | undefined {
    for (const order of ORDERS) {
      const page = this.pages.get(dfn - (dfn % 2 ** order));
      if (page?.order === order) return page;
    }
    return undefined;
  }

  map(dfn: number, mfn: number, order: number, flags: number): void {
    this.splitDown(dfn, order);
    const old = this.pages.get(dfn);
    const same = old?.order === order && old.mfn === mfn;
    this.remove(dfn, order);
    this.pages.set(dfn, { dfn, mfn, order, flags, dirty: same && old.dirty });
  }

  unmap(dfn: number, order: number): void {
    this.splitDown(dfn, order);
    this.remove(dfn, order);
  }

  /** The pages of which any part lies in a range. */
  within(dfn: number, order: number): Page[] {
    const around = this.find(dfn);
    if (around !== undefined && around.order > order) return [around];
    return [...this.pages.values()]
      .filter((page) => page.dfn >= dfn && page.dfn < dfn + 2 ** order)
      .sort((a, b) => a.dfn - b.dfn);
  }

  /** How many tables it takes, without the root of tables with that many levels. */
  tables(levels: number): number {
    const tables = new Set<string>();
    for (const { dfn, order } of this.pages.values()) {
      for (let level = order / 9 + 1; level < levels; level += 1) {
        tables.add(`${level}:${Math.floor(dfn / 2 ** (9 * level))}`);
      }
    }
    return tables.size;
  }

  /** Tables that mapping or unmapping 2^order pages there adds, before it takes others away. */
  missing(dfn: number, order: number, isMap: boolean, levels: number): number {
    const target = Math.min(levels, Math.floor(order / 9) + 1);
    const around = this.find(dfn);
    const splits = around !== undefined && around.order > order;
    if (!splits && !isMap) return 0;
    if (splits) return around.order / 9 + 1 - target;
    let missing = 0;
    for (let level = target; level < levels; level += 1) {
      const first = dfn - (dfn % 2 ** (9 * level));
      const inside = (page: Page): boolean =>
        page.order < 9 * level && page.dfn >= first && page.dfn < first + 2 ** (9 * level);
      if (![...this.pages.values()].some(inside)) missing += 1;
    }
    return missing;
  }

  private splitDown(dfn: number, order: number): void {
    for (
      let page = this.find(dfn);
      page !== undefined && page.order > order;
      page = this.find(dfn)
    ) {
      this.pages.delete(page.dfn);
      const size = 2 ** (page.order - 9);
      for (let i = 0; i < 512; i += 1) {
        const [piece, mfn] = [page.dfn + i * size, page.mfn + i * size];
        this.pages.set(piece, { ...page, dfn: piece, mfn, order: page.order - 9 });
      }
    }
  }

  private remove(dfn: number, order: number): void {
    for (const page of [...this.pages.values()]) {
      if (page.dfn >= dfn && page.dfn < dfn + 2 ** order) this.pages.delete(page.dfn);
    }
  }
}
